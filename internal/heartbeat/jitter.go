// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"time"

	"github.com/mailha/mailha/internal/clock"
)

const (
	// What jitter remembers: the longest gap of each half minute of the last five.
	bucketWidth = 30 * time.Second
	bucketCount = 10
	// patience is how many times the longest gap that has been seen is silence.
	patience = 2
	// warmup is how long a peer has to be heard before it is known how steady it comes.
	warmup = 5 * time.Second
)

// jitter is how unsteadily a peer's packets come: the longest gaps between them.
// It is the longest and no average or quantile, because a host that is busy stalls
// rarely and long, and one false alarm is one too many.
type jitter struct {
	longest [bucketCount]time.Duration
	number  [bucketCount]int64 // which half minute of the clock the bucket is of
}

func (j *jitter) add(now clock.Time, gap time.Duration) {
	n := int64(now) / int64(bucketWidth)
	i := n % bucketCount
	if j.number[i] != n {
		j.number[i], j.longest[i] = n, 0
	}
	j.longest[i] = max(j.longest[i], gap)
}

// worst is the longest gap that is remembered.
func (j *jitter) worst(now clock.Time) time.Duration {
	var worst time.Duration
	oldest := int64(now)/int64(bucketWidth) - bucketCount
	for i, n := range j.number {
		if n > oldest {
			worst = max(worst, j.longest[i])
		}
	}
	return worst
}

// limit is the silence after which a peer looks dead that sends at the interval
// given and was first heard then.
func (t Timing) limit(j *jitter, now, first clock.Time, interval time.Duration) time.Duration {
	most := max(t.SuspectMax, 3*interval)
	if now.Sub(first) < warmup {
		return most
	}
	return min(most, max(t.Suspect, 3*interval, patience*j.worst(now)))
}

// learn is the longest gap that tells how steadily a peer comes. A longer one was
// a loss of the peer, of which nothing can be learned: no limit would be above it.
func (t Timing) learn(interval time.Duration) time.Duration { return max(t.SuspectMax, 3*interval) }
