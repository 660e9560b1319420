// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"time"
)

// condition is what is known about a resource.
type condition int

const (
	down    condition = iota // proved, or never started
	working                  // an operation is under way
	up
	ailing // it failed, or a start did; something of it may be here
	stuck  // a stop failed: something of it is here
)

// doing is an operation, or the watch over what is up.
type doing string

const (
	starting  doing = "start"
	stopping  doing = "stop"
	reloading doing = "reload"
	watching  doing = "watch"
)

// member is a resource of a tenure, and what is known about it. It belongs to the
// tenure's loop.
type member struct {
	part
	next    *part // takes the place of part once that is down
	fresh   *part // takes the place of part by a reload
	removed bool  // it is forgotten once it is down

	condition condition
	since     time.Time
	detail    string
	fault     string // the last failure, until it is up again
	degraded  bool
	absent    bool        // of ailing: an address of it is gone, and no more is known to be wrong
	failures  []time.Time // on this node, as far as they count
	again     time.Time   // not to be tried before
	renew     bool        // it has to be stopped before it is started
	serial    int64       // of the last restart that was asked for
	restarted int64       // of the last one that is done
	floor     uint64      // the least epoch under which it can be started

	turn   int // of operations and watches: what an earlier one tells is old
	doing  doing
	began  time.Time
	cancel context.CancelFunc
}

// enter ends what was under way.
func (m *member) enter(c condition, detail string) {
	if m.cancel != nil {
		m.cancel()
	}
	m.turn++
	m.condition, m.detail, m.since, m.degraded, m.absent, m.cancel, m.doing = c, detail, time.Now(), false, false, nil, ""
	switch c {
	case up:
		m.fault = ""
	case ailing:
		m.fault = detail
	}
}

// recent forgets the failures that no longer count, and says how many do.
func (m *member) recent(window time.Duration) int {
	from := time.Now().Add(-window)
	for len(m.failures) > 0 && m.failures[0].Before(from) {
		m.failures = m.failures[1:]
	}
	return len(m.failures)
}

// become has the member do something else with its resource, as far as it can at once.
func (m *member) become(p part, how change) {
	switch {
	case m.removed:
		m.removed, how = false, hard
	case m.next != nil: // it is on its way down, with what it was
		m.next = &p
		return
	}
	switch {
	case m.condition == down && m.cancel == nil:
		m.part, m.next, m.fresh, m.again, m.floor = p, nil, nil, time.Time{}, 0
	case how == hard || m.role != p.role:
		m.next, m.fresh, m.renew = &p, nil, true
	case how == soft || m.fresh != nil:
		m.fresh = &p
	default:
		m.part = p
	}
}

// fallen is down, and what it was is over.
func (m *member) fallen() {
	m.enter(down, m.fault)
	if m.next != nil {
		m.part, m.next, m.detail, m.fault, m.floor = *m.next, nil, "", "", 0
	}
	if m.fresh != nil {
		m.part, m.fresh = *m.fresh, nil
	}
}
