// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"math"
	"slices"
	"time"
)

// maxGaps bounds the memory of an act; beyond it the statistics are of the latest gaps, the longest one of all.
const maxGaps = 1 << 20

// gaps follows the successes of one prober through an act. The zero time of an unused one never shows: it is made with
// the time at which probing began.
type gaps struct {
	last    time.Time // latest success, or the beginning
	longest time.Duration
	all     []time.Duration
	n       int
	// The prober's own unpunctuality, without which a busy machine looks like an outage.
	lastTick time.Time
	stall    time.Duration
}

func newGaps(now time.Time) *gaps { return &gaps{last: now, lastTick: now} }

// tick notes that an attempt was begun.
func (g *gaps) tick(now time.Time) {
	g.stall = max(g.stall, now.Sub(g.lastTick))
	g.lastTick = now
}

// success notes that an attempt succeeded at the time given. Those that are noted late, after a later one, change
// nothing.
func (g *gaps) success(at time.Time) {
	gap := at.Sub(g.last)
	if gap < 0 {
		return
	}
	g.last = at
	g.longest = max(g.longest, gap)
	if len(g.all) < maxGaps {
		g.all = append(g.all, gap)
	} else {
		g.all[g.n%maxGaps] = gap
	}
	g.n++
}

// mark begins a new act. Its first gap began with the last success before it, so that an outage which is under way
// counts in full.
func (g *gaps) mark() { g.longest, g.stall, g.all, g.n = 0, 0, nil, 0 }

// blackout is the longest time between two successes, the second of them in the act or still to come.
func (g *gaps) blackout(now time.Time) time.Duration { return max(g.longest, now.Sub(g.last)) }

// stalled is the longest time between the beginnings of two attempts.
func (g *gaps) stalled(now time.Time) time.Duration { return max(g.stall, now.Sub(g.lastTick)) }

// quiet gives the median and the 99th percentile of the gaps other than the longest: the floor that a blackout is to be
// compared with.
func (g *gaps) quiet() (median, p99 time.Duration) {
	sorted := slices.Sorted(slices.Values(g.all))
	if len(sorted) < 2 {
		return 0, 0
	}
	sorted = sorted[:len(sorted)-1]
	return sorted[len(sorted)/2], sorted[len(sorted)*99/100]
}

// millis rounds to 0.1 ms.
func millis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(100*time.Microsecond)) / 10
}
