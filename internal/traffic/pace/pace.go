// SPDX-License-Identifier: Apache-2.0

// Package pace hands out numbered work at a rate, and the same again until it
// was taken.
//
// It must never hand out a number anew that was taken.
package pace

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is a number of events per second. It is written "50/s", "3000/m" or "50".
type Rate float64

// String gives the rate per second.
func (r *Rate) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) + "/s" }

// Set reads a rate. It must be above 0 and at most 100000 per second.
func (r *Rate) Set(s string) error {
	number, unit, hasUnit := strings.Cut(s, "/")
	if !hasUnit {
		unit = "s"
	}
	per, ok := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(n/per > 0 && n/per <= 1e5) {
		return fmt.Errorf("%q is no rate such as 50/s or 3000/m", s)
	}
	*r = Rate(n / per)
	return nil
}

// Job is a message on its way; it has no content, which its number gives.
type Job struct {
	Seq, Attempts int // attempts that were made
	Created, Due  time.Time
}

// Attempted is a job with what became of it.
type Attempted struct {
	Job
	Taken bool
	Err   error // ends everything
}

// Pacer hands out jobs.
type Pacer struct {
	Rate    Rate          // attempts per second, first ones and retries together
	Limit   int           // of jobs; 0: until stopped
	Retry   time.Duration // until a job that was not taken is handed out again
	Grace   time.Duration // for that after the stop; none if not above 0
	Workers int
}

// Run returns when no job is left, the grace after the end of ctx is over, or a worker failed. It runs the workers,
// each of which does jobs until there are no more and says what became of each of them. Their context ends with the
// grace. Depth hears of the numbers of jobs that are in flight and that wait for their retry.
func (p Pacer) Run(ctx context.Context, worker func(ctx context.Context, jobs <-chan Job, done chan<- Attempted), depth func(inFlight, retrying int)) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(max(0, p.Grace)):
			cancel()
		case <-work.Done():
		}
	})()
	jobs, done := make(chan Job), make(chan Attempted)
	var wg sync.WaitGroup
	for range p.Workers {
		wg.Go(func() { worker(work, jobs, done) })
	}
	err := p.dispatch(work, cancel, ctx.Done(), jobs, done, depth)
	close(jobs)
	wg.Wait()
	return err
}

// dispatch hands the jobs out until nothing is left to do after stop, or work is over and no attempt is in flight.
func (p Pacer) dispatch(work context.Context, cancel context.CancelFunc, stop <-chan struct{}, jobs chan<- Job, done <-chan Attempted, depth func(int, int)) error {
	var failed error
	b := backlog{limit: p.Limit, slot: time.Now(), interval: time.Duration(float64(time.Second) / float64(p.Rate)), retry: p.Retry}
	timer := time.NewTimer(0)
	defer timer.Stop()
	over := work.Done()
	for !b.empty() {
		var out chan<- Job
		now := time.Now()
		j, at, ok := b.first(now)
		timer.Stop()
		if wait := at.Sub(now); ok && wait > 0 {
			timer.Reset(wait)
		} else if ok {
			out = jobs
		}
		select {
		case out <- j:
			b.take(j, now)
		case a := <-done:
			b.settle(a, time.Now())
			if a.Err != nil {
				failed = a.Err
				cancel()
			}
		case <-timer.C:
		case <-stop:
			stop, b.stopped = nil, true
		case <-over:
			over, b.stopped, b.over = nil, true, true
		}
		depth(b.inFlight, len(b.retries))
	}
	return failed
}
