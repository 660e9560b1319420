// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"hash/fnv"
	"time"
)

// DefaultRefresh is the interval of the slow announcements of a Schedule.
const DefaultRefresh = 60 * time.Second

// second is when a set is announced for the second time. Switches and bonds that swallowed the first
// burst because a port was still coming up are forwarding by then.
const second = time.Second

// Schedule decides when an address that stays where it is must be announced again: once more 1 s after it
// was taken, then slowly for ever, because a neighbour may have learned another place of it in between.
type Schedule struct {
	// Refresh is the interval of the slow announcements; 0 for DefaultRefresh, negative for none.
	Refresh time.Duration
	// Owner spreads the announcements of different owners over time.
	Owner string
}

// Due reports whether the set that was taken at start and last announced at last must be announced at now.
// A zero last, or a clock that has jumped back before last, makes it due.
func (s Schedule) Due(now, start, last time.Time) bool {
	if last.IsZero() || now.Before(last) || last.Before(start) {
		return true
	}
	if last.Sub(start) < second {
		return now.Sub(start) >= second
	}
	refresh := orDefault(s.Refresh, DefaultRefresh)
	return refresh > 0 && now.Sub(last) >= s.jitter(refresh, last)
}

// jitter shortens or stretches d by at most a tenth, differently for each owner and each time.
func (s Schedule) jitter(d time.Duration, last time.Time) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(s.Owner))
	h.Write([]byte(last.UTC().Format(time.RFC3339Nano)))
	part := time.Duration(h.Sum64() % 2001) // thousandths of a tenth, twice
	return d - d/10 + d/10*part/1000
}
