// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"sync"
	"time"
)

// gap ends a span: whoever was not seen for so long may have let go meanwhile. It is
// longer than several looks, which come each 20 ms, and shorter than any thing takes to
// go to another node and back.
const gap = 250 * time.Millisecond

// Kind is what may be held by one node at a time.
type Kind string

// The kinds of things.
const (
	Address Kind = "address"
	Mount   Kind = "mount"
	Service Kind = "service"
)

// Thing is one of a kind.
type Thing struct {
	Kind Kind
	Name string
}

// span is a time for which a holder was seen with a thing again and again.
type span struct {
	holder      string
	first, last time.Time
}

// record is who was seen with what.
type record struct {
	mu    sync.Mutex
	spans map[Thing][]span
}

func newRecord() *record { return &record{spans: map[Thing][]span{}} }

// see notes that a holder had a thing. Looks at one thing come in their order.
func (r *record) see(t Thing, holder string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := r.spans[t]
	for i := len(spans) - 1; i >= 0; i-- {
		if s := &spans[i]; s.holder == holder {
			if at.Sub(s.last) <= gap {
				s.last = at
				return
			}
			break
		}
	}
	r.spans[t] = append(spans, span{holder, at, at})
}

// Double is a time for which two had a thing that is for one.
type Double struct {
	Thing
	Holders [2]string
	From    time.Time
	// For is how long both were seen, 0 if one of them was seen just once.
	For time.Duration
}

// doubles are the times since then for which two spans lie over each other: the one
// was seen again after the other had been seen. An orderly change of hands has none.
func (r *record) doubles(since time.Time) []Double {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Double
	for thing, spans := range r.spans {
		for i, a := range spans {
			for _, b := range spans[i+1:] {
				from, to := latest(a.first, b.first), earliest(a.last, b.last)
				if a.holder == b.holder || from.After(to) || to.Before(since) {
					continue
				}
				from = latest(from, since)
				found = append(found, Double{Thing: thing, Holders: [2]string{a.holder, b.holder}, From: from, For: to.Sub(from)})
			}
		}
	}
	slices.SortFunc(found, func(a, b Double) int { return a.From.Compare(b.From) })
	return found
}

// holders are those that were seen with a thing since then.
func (r *record) holders(t Thing, since time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, s := range r.spans[t] {
		if !s.last.Before(since) && !slices.Contains(names, s.holder) {
			names = append(names, s.holder)
		}
	}
	return names
}

// silence is the longest time within one in which nobody was seen with a thing.
func (r *record) silence(t Thing, from, to time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := slices.Clone(r.spans[t])
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	longest, at := time.Duration(0), from
	for _, s := range spans {
		if s.last.Before(at) {
			continue
		}
		if s.first.After(to) {
			break
		}
		longest, at = max(longest, s.first.Sub(at)), s.last
	}
	return max(longest, to.Sub(at))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
