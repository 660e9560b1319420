// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestBacklog(t *testing.T) {
	now := time.Now()
	b := backlog{limit: 2, interval: time.Second, retry: 5 * time.Second, slot: now}
	take := func(after time.Duration, want Job) {
		t.Helper()
		at := now.Add(after)
		j, slot, ok := b.first(at)
		if !ok || j.Seq != want.Seq || j.Attempts != want.Attempts || slot.After(at) {
			t.Fatalf("at %v: message %d, attempt %d, in %v, %v; want %d, %d", after, j.Seq, j.Attempts, slot.Sub(now), ok, want.Seq, want.Attempts)
		}
		b.take(j, at)
	}
	settle := func(seq, attempts int, after time.Duration) { // that is the attempts made now
		b.settle(Attempted{Job: Job{Seq: seq, Attempts: attempts - 1}}, now.Add(after))
	}
	take(0, Job{Seq: 0})
	if _, slot, _ := b.first(now); slot.Sub(now) != time.Second {
		t.Errorf("the second slot is at %v", slot.Sub(now))
	}
	settle(0, 1, 0)
	take(time.Second, Job{Seq: 1}) // the retry is not due yet
	if _, slot, ok := b.first(now); !ok || slot.Sub(now) != 5*time.Second {
		t.Errorf("the retry is at %v, %v", slot.Sub(now), ok)
	}
	take(5*time.Second, Job{Seq: 0, Attempts: 1})
	if _, _, ok := b.first(now); ok || b.empty() {
		t.Error("two attempts are in flight, and nothing is to be sent")
	}
	settle(0, 2, 4*time.Second)
	b.settle(Attempted{Job: Job{Seq: 1, Attempts: 1}, Taken: true}, now)
	if b.empty() {
		t.Error("forgot a retry")
	}
	b.over = true
	if _, _, ok := b.first(now); ok || !b.empty() {
		t.Error("goes on after its end")
	}
}

func TestBacklogPrefersRetriesAndBoundsCatchUp(t *testing.T) {
	now := time.Now()
	b := backlog{interval: time.Millisecond, slot: now.Add(-time.Hour)}
	b.inFlight = 1
	b.settle(Attempted{Job: Job{Seq: 7}}, now)
	if j, _, _ := b.first(now); j.Seq != 7 {
		t.Errorf("a new message %d goes before the one that is due", j.Seq)
	}
	burst := 0
	for {
		j, at, _ := b.first(now)
		if at.After(now) {
			break
		}
		b.take(j, now)
		burst++
	}
	if most := int(catchUp/b.interval) + 2; burst > most {
		t.Errorf("%d messages at once after an hour, want at most %d", burst, most)
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[string]Rate{"50/s": 50, "50": 50, "3000/m": 50, "1800/h": 0.5, "0.5/s": 0.5, "100000": 100000} {
		var r Rate
		if err := r.Set(in); err != nil || r != want {
			t.Errorf("%q: %v, %v; want %v", in, r, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1/s", "1/d", "1/", "x/s", "NaN", "Inf", "100001", "1/s/s"} {
		r := Rate(7)
		if err := r.Set(in); err == nil || r != 7 {
			t.Errorf("%q gave %v", in, r)
		}
	}
}

// Work that fails is done again until it is taken, and the end of ctx stops new work only.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var mu sync.Mutex
	taken := map[int]int{} // attempts by number
	most := 0
	p := Pacer{Rate: 5000, Limit: 20, Retry: time.Millisecond, Grace: 10 * time.Second, Workers: 3}
	err := p.Run(ctx, func(_ context.Context, jobs <-chan Job, done chan<- Attempted) {
		for j := range jobs {
			ok := j.Attempts >= j.Seq%3
			mu.Lock()
			if ok {
				taken[j.Seq] += j.Attempts + 1
			}
			mu.Unlock()
			done <- Attempted{Job: j, Taken: ok}
		}
	}, func(inFlight, _ int) { most = max(most, inFlight) })
	if err != nil || len(taken) != 20 || most < 1 || most > 3 {
		t.Errorf("%v; %d jobs taken, %d in flight", err, len(taken), most)
	}
	for seq, attempts := range taken {
		if attempts != seq%3+1 {
			t.Errorf("job %d was attempted %d times", seq, attempts)
		}
	}
}

func TestRunEndsWithItsGrace(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := Pacer{Rate: 1000, Retry: time.Millisecond, Grace: 50 * time.Millisecond, Workers: 1}
	began := time.Now()
	last := 0
	err := p.Run(ctx, func(ctx context.Context, jobs <-chan Job, done chan<- Attempted) {
		for j := range jobs {
			cancel()
			last = max(last, j.Seq)
			done <- Attempted{Job: j}
		}
	}, func(int, int) {})
	if err != nil || last > 5 || time.Since(began) > 5*time.Second {
		t.Errorf("%v; job %d was the last, after %s", err, last, time.Since(began))
	}
}

func TestRunFails(t *testing.T) {
	broken := errors.New("broken")
	p := Pacer{Rate: 1000, Workers: 2, Grace: time.Hour}
	err := p.Run(t.Context(), func(_ context.Context, jobs <-chan Job, done chan<- Attempted) {
		for j := range jobs {
			done <- Attempted{Job: j, Err: broken}
		}
	}, func(int, int) {})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}
