// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"slices"
	"time"
)

const (
	promoteEach = 500 * time.Millisecond
	askEach     = 10 * time.Second
	askTime     = 3 * time.Second
)

// tend looks after the member while it runs: makes it a voter when it has caught
// up, and keeps the client's list of members as it is.
func (m *Member) tend(ctx context.Context) {
	select {
	case <-m.Ready(): // it knows what it is from then on
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		pause := askEach
		if m.Learner() {
			pause = promoteEach
			m.promote(ctx)
		}
		if !m.Learner() {
			m.follow(ctx)
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

// follow tells the client where the members are. What the configuration says
// stays as long as etcd says nothing.
func (m *Member) follow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	known, err := Peers(ctx, m.client)
	if err != nil {
		return
	}
	own := m.cfg.url(m.cfg.Client)
	urls := []string{own.String()}
	for _, p := range known {
		if p.Client != "" && !p.Learner && !slices.Contains(urls, p.Client) {
			urls = append(urls, p.Client)
		}
	}
	if old := m.client.Endpoints(); !slices.Equal(old, urls) {
		m.client.SetEndpoints(urls...)
	}
}
