// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// catchUp is how much of the time that it was held up a pacer makes up for by running ahead of its rate.
const catchUp = time.Second

// backlog decides which job goes out next, and when: each slot that the rate allows carries the oldest job that is due
// for a retry, else a new one. So the rate bounds the attempts, and no flood follows an outage.
type backlog struct {
	limit    int // of new jobs; 0: none
	interval time.Duration
	retry    time.Duration
	slot     time.Time // when the next attempt may start
	next     int       // number of the next new job
	inFlight int
	retries  []Job // all wait equally long, so the first is due first
	stopped  bool  // no new jobs
	over     bool  // no attempts at all
}

func (b *backlog) fresh() bool { return !b.stopped && (b.limit == 0 || b.next < b.limit) }

// empty reports whether there is nothing to do and nothing to wait for.
func (b *backlog) empty() bool {
	return b.inFlight == 0 && (b.over || !b.fresh() && len(b.retries) == 0)
}

// first gives the job for the next slot and when it may start, if there is one.
func (b *backlog) first(now time.Time) (j Job, at time.Time, ok bool) {
	switch {
	case b.over:
		return Job{}, time.Time{}, false
	case len(b.retries) > 0 && (!b.fresh() || !b.retries[0].Due.After(now)):
		return b.retries[0], laterOf(b.slot, b.retries[0].Due), true
	}
	return Job{Seq: b.next, Created: now}, b.slot, b.fresh()
}

// take notes that the job which first gave was handed out.
func (b *backlog) take(j Job, now time.Time) {
	if j.Attempts > 0 {
		b.retries = b.retries[1:]
	} else {
		b.next++
	}
	b.inFlight++
	b.slot = laterOf(b.slot.Add(b.interval), now.Add(-catchUp))
}

// settle notes what became of a job.
func (b *backlog) settle(a Attempted, now time.Time) {
	b.inFlight--
	if !a.Taken {
		a.Attempts++
		a.Due = now.Add(b.retry)
		b.retries = append(b.retries, a.Job)
	}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
