// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"bytes"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// State is how a node looks from here.
type State int

// The states.
const (
	// Unknown: not heard in this life of its and ours, or not there, or it has said
	// that it leaves.
	Unknown State = iota
	Alive
	// Suspect: it looks dead.
	Suspect
)

func (s State) String() string { return [...]string{"unknown", "alive", "suspect"}[s] }

// path is what is known of one way to a peer.
type path struct {
	ends
	sequence uint64
	heard    clock.Time // 0: never
	silent   bool
}

// peer is another node in one life.
type peer struct {
	Node
	paths []*path

	// What it has sent last.
	last     packet
	raw      []byte
	heard    clock.Time    // 0: never
	awake    time.Duration // when it was heard, in time in which this node was awake
	first    clock.Time    // since when it has been heard, with or without breaks
	state    State
	since    clock.Time // of state
	jitter   jitter
	answered clock.Time // what it sent when something was promised to it last; 0: nothing
	promised time.Duration
	held     clock.Time // until when it takes nothing of ours, in our time; 0: it has promised nothing
}

// accept looks at a packet of this peer that came over a path, with all that b
// has; whether it is news follows: not if it came over another path already.
func (p *peer) accept(w *path, k packet, b []byte, life uint64, now clock.Time) (news bool, why Reason) {
	if k.sequence <= w.sequence {
		return false, Replayed
	}
	// A copy by another path needs no second look at its signature.
	if k.sequence != p.last.sequence || !bytes.Equal(b, p.raw) {
		if !verify(b, p.Key) {
			return false, Forged
		}
	}
	// Whoever names our life sends it after that began: nobody could have kept it
	// from before.
	if _, knows := k.about(life, len(k.of)); !knows {
		return false, Unaware
	}
	w.sequence, w.heard = k.sequence, now
	return k.sequence > p.last.sequence, ""
}

// hear takes what is news.
func (p *peer) hear(k packet, b []byte, t Timing, now clock.Time, awake time.Duration) (withdrawn bool) {
	gap := awake - p.awake
	if p.heard == 0 || p.state == Unknown {
		p.first = now
	} else if gap <= t.learn(k.interval) {
		p.jitter.add(now, gap)
	}
	withdrawn = p.state == Suspect
	p.last, p.raw = k, append(p.raw[:0], b...)
	p.heard, p.awake = now, awake
	switch {
	case k.leaving:
		p.become(Unknown, now)
	case p.state != Alive:
		p.become(Alive, now)
	}
	return withdrawn
}

func (p *peer) become(s State, now clock.Time) {
	if p.state != s {
		p.state, p.since = s, now
	}
}

// limit is the silence after which it looks dead now.
func (p *peer) limit(t Timing, now clock.Time) time.Duration {
	return t.limit(&p.jitter, now, p.first, p.last.interval)
}

// overdue says how long it has been silent beyond its limit; less than nothing is how
// long it may still be. Time in which this node was not awake does not count.
func (p *peer) overdue(t Timing, now clock.Time, awake time.Duration) time.Duration {
	return awake - p.awake - p.limit(t, now)
}

// quiet marks the paths that are silent while others are not, and returns those
// that were not so before, or are no longer.
func (p *peer) quiet(t Timing, now clock.Time) (changed []*path) {
	if p.state != Alive {
		return nil
	}
	after := max(2*t.SuspectMax, 10*p.last.interval)
	for _, w := range p.paths {
		silent := now.Sub(max(w.heard, p.since)) > after
		if silent != w.silent {
			changed = append(changed, w)
		}
		w.silent = silent
	}
	return changed
}

// forget begins anew with a peer, when this node begins another life.
func (p *peer) forget(now clock.Time) {
	p.become(Unknown, now)
	p.heard, p.answered, p.held = 0, 0, 0
}
