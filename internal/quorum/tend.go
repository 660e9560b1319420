// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"slices"
	"time"
)

const (
	promoteEach = 500 * time.Millisecond
	askEach     = time.Second
	askTime     = 3 * time.Second
	failures    = 2 // of this member in a row, until others are asked
)

// tend looks after the member while it runs: makes it a voter when it has caught
// up, and has the client ask it, or the others as long as it does not answer.
func (m *Member) tend(ctx context.Context) {
	select {
	case <-m.Ready(): // it knows what it is from then on
	case <-ctx.Done():
	}
	failed := 0
	for ctx.Err() == nil {
		pause := askEach
		if m.Learner() {
			pause = promoteEach
			m.promote(ctx)
		}
		if !m.Learner() {
			if m.answers(ctx) {
				failed = 0
			} else if failed++; failed == 1 {
				pause = 0
			}
			m.follow(failed >= failures)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Learner says whether the member follows only, and does not count for a majority
// yet. One that was removed does not learn either.
func (m *Member) Learner() bool {
	// Not Server.IsLearner, which gives up if the member was removed.
	server := m.etcd.Server
	own := server.Cluster().Member(server.MemberID())
	return own != nil && own.IsLearner
}

func (m *Member) promote(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := m.client.MemberPromote(ctx, uint64(m.etcd.Server.MemberID())); err != nil {
		m.cfg.Log.Debug("this member is not a voter yet", "error", err)
		return
	}
	m.cfg.Log.Info("this member has caught up and votes from now on", "member", m.cfg.Name)
}

// answers says whether this member itself does, and for a majority.
func (m *Member) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askEach)
	defer cancel()
	_, err := m.own.Get(ctx, "health") // of a key that need not be there
	return err == nil
}

// follow tells the client whom to ask. It is this member alone, as long as that answers:
// the connection to another one may lead to a machine that has just lost its power,
// which takes seconds to be noticed, by the watch as well.
func (m *Member) follow(others bool) {
	own := m.cfg.url(m.cfg.Client)
	var urls []string
	if others { // without this one: each request that it got would be lost
		for _, p := range m.known() {
			if p.Client != "" && !p.Learner && p.Client != own.String() {
				urls = append(urls, p.Client)
			}
		}
		for _, url := range m.cfg.Others {
			if !slices.Contains(urls, url) {
				urls = append(urls, url)
			}
		}
	}
	if len(urls) == 0 {
		urls = []string{own.String()}
	}
	if old := m.client.Endpoints(); !slices.Equal(old, urls) {
		m.client.SetEndpoints(urls...)
	}
}

// known are the members as this one knows them.
func (m *Member) known() []Peer {
	var all []Peer
	for _, one := range m.etcd.Server.Cluster().Members() {
		p := Peer{ID: uint64(one.ID), Name: one.Name, Learner: one.IsLearner}
		if len(one.ClientURLs) > 0 {
			p.Client = one.ClientURLs[0]
		}
		all = append(all, p)
	}
	return all
}
