// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"time"
)

// probe asks the segments whether anybody has, or also probes for, one of the addresses. The first such host
// ends it with a ConflictError.
func (s *Set) probe(ctx context.Context, places []place, ls links) error {
	var ts taps
	defer ts.close()
	if err := ts.open(places); err != nil {
		return err
	}
	cfg := s.cfg.Probe
	rounds := probeRounds(cfg.Count, places)
	// The sockets are open: other threads, in whatever network namespace, may read from them.
	results := make(chan error, len(ts.list))
	for _, t := range ts.list {
		ts.readers.Go(func() { results <- t.conflict(places, ls) })
	}

	tick := time.NewTicker(max(cfg.Interval, time.Millisecond))
	defer tick.Stop()
	for sent, ended := 0, 0; ended < len(ts.list); {
		if sent < rounds {
			if err := s.probeOnce(&ts, places); err != nil {
				return err
			}
			if sent++; sent == rounds {
				if err := ts.deadline(time.Now().Add(cfg.Wait)); err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-results:
			if err != nil {
				return err
			}
			ended++
		case <-tick.C:
		}
	}
	return nil
}

func (s *Set) probeOnce(ts *taps, places []place) error {
	for _, p := range places {
		if err := ts.of(p).sendProbe(p.addr()); err != nil {
			return err
		}
		if p.addr().Is4() {
			s.pace.note(p.link.index, 1, time.Now())
		}
	}
	return nil
}

// probeRounds is how many rounds of probes fit into half of an interface's ARP budget, so that the first
// announcement fits into the rest: from 1 to count.
func probeRounds(count int, places []place) int {
	perLink := make(map[int]int)
	most := 1
	for _, p := range places {
		if p.addr().Is4() {
			perLink[p.link.index]++
			most = max(most, perLink[p.link.index])
		}
	}
	return max(1, min(count, paceBudget/2/most))
}

// conflict listens, and returns a ConflictError for the first foreign host that has or wants one of the places.
func (t *tap) conflict(places []place, ls links) error {
	var found *ConflictError
	err := t.listen(func(h heard) bool {
		for _, p := range places {
			if h.addr == p.addr() && t.link.index == p.link.index && !ls.ours(h.mac) {
				found = &ConflictError{Addr: h.addr, Interface: t.link.name, MAC: h.mac, Probing: h.probing}
				return false
			}
		}
		return true
	})
	if found != nil {
		return found
	}
	return err
}
