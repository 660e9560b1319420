// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"sync"
	"time"
)

// gap ends a span: whoever was not seen for so long may have let go meanwhile. It is
// longer than several looks, which come each 20 ms, and shorter than any thing takes to
// go to another node and back: a directory that is asked to, a fifth of a second.
const gap = 100 * time.Millisecond

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

// look is when somebody was seen with a thing: at some moment from the one to the other.
// It is a moment if the kernel noted it, and longer if the look took its time.
type look struct{ from, to time.Time }

// span is a time for which a holder was seen with a thing again and again.
type span struct {
	holder      string
	first, last look
}

// sure says whether a look lies in the time for which the holder had the thing for certain.
func (s span) sure(l look) bool { return !l.from.Before(s.first.to) && !l.to.After(s.last.from) }

// overlap is the time for which two had a thing for certain; ok is false if there may be
// none.
func overlap(a, b span) (from, to time.Time, ok bool) {
	from, to = latest(a.first.to, b.first.to), earliest(a.last.from, b.last.from)
	if !from.After(to) {
		return from, to, true
	}
	for _, one := range []struct {
		span
		look
	}{{a, b.first}, {a, b.last}, {b, a.first}, {b, a.last}} {
		if one.sure(one.look) {
			return one.to, one.to, true
		}
	}
	return from, to, false
}

// record is who was seen with what.
type record struct {
	mu    sync.Mutex
	spans map[Thing][]span
}

func newRecord() *record { return &record{spans: map[Thing][]span{}} }

// see notes that a holder had a thing.
func (r *record) see(t Thing, holder string, l look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := r.spans[t]
	for i := len(spans) - 1; i >= 0; i-- {
		if s := &spans[i]; s.holder == holder {
			if l.from.Sub(s.last.to) > gap {
				break
			}
			if l.to.After(s.last.to) { // who looks in two ways hears of one later
				s.last = l
			}
			return
		}
	}
	r.spans[t] = append(spans, span{holder, l, l})
}

// Double is a time for which two had a thing that is for one.
type Double struct {
	Thing
	Holders [2]string
	From    time.Time
	// For is how long both were seen, 0 if one of them was seen just once.
	For time.Duration
}

// doubles are the times since then for which two spans lie over each other for certain: the
// one was seen again after the other had been seen. An orderly change of hands has none.
func (r *record) doubles(since time.Time) []Double {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Double
	for thing, spans := range r.spans {
		for i, a := range spans {
			for _, b := range spans[i+1:] {
				from, to, ok := overlap(a, b)
				if a.holder == b.holder || !ok || to.Before(since) {
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
		if !s.last.to.Before(since) && !slices.Contains(names, s.holder) {
			names = append(names, s.holder)
		}
	}
	return names
}

// times are the first and the last sight of a holder with a thing since then.
func (r *record) times(t Thing, holder string, since time.Time) (first, last time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans[t] {
		if s.holder != holder || s.last.to.Before(since) {
			continue
		}
		if !ok {
			first = latest(s.first.to, since)
		}
		last, ok = s.last.to, true
	}
	return first, last, ok
}

// silence is the longest time within one in which nobody was seen with a thing.
func (r *record) silence(t Thing, from, to time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := slices.Clone(r.spans[t])
	slices.SortFunc(spans, func(a, b span) int { return a.first.to.Compare(b.first.to) })
	longest, at := time.Duration(0), from
	for _, s := range spans {
		if s.last.to.Before(at) {
			continue
		}
		if s.first.to.After(to) {
			break
		}
		longest, at = max(longest, s.first.to.Sub(at)), s.last.to
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
