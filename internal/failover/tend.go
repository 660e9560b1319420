// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

// watchAll begins to watch over what is up and not watched yet.
func (t *tenure) watchAll(ctx context.Context) {
	for _, m := range t.members {
		if m.condition == up && m.cancel == nil {
			t.tend(ctx, m)
		}
	}
}

// tend watches over a resource that is up, until it fails or the tenure has other
// plans for it: monitors recur, and events bring the first of them forward.
func (t *tenure) tend(ctx context.Context, m *member) {
	ctx, cancel := context.WithCancel(ctx)
	m.cancel, m.doing = cancel, watching
	v := vigil{t: t, m: m, part: m.part, turn: m.turn, note: m.detail, wake: make(chan struct{}, 1)}
	if t.watch != nil {
		since := m.began // an address may have gone while the rest of it was started
		t.ops.Go(func() {
			t.watch(ctx, v.driver, since, func() {
				select {
				case v.wake <- struct{}{}:
				default: // it is about to look anyway
				}
			})
		})
	}
	t.ops.Go(func() {
		if err := v.keep(ctx); ctx.Err() == nil {
			t.results.put(result{m: m, turn: v.turn, doing: watching, err: err})
		}
	})
}

// vigil is one watch over a resource.
type vigil struct {
	part
	t    *tenure
	m    *member // its own fields belong to the tenure's loop
	turn int
	wake chan struct{}
	note string // what is not well
}

// keep returns why the resource has failed.
func (v *vigil) keep(ctx context.Context) error {
	monitors := v.resource.Monitors
	if v.role == leaning || len(monitors) == 0 {
		<-ctx.Done() // who has started it looks after it
		return ctx.Err()
	}
	due := make([]time.Time, len(monitors))
	for i, mon := range monitors {
		due[i] = time.Now().Add(mon.Interval)
	}
	for {
		i := earliest(due)
		mon := monitors[i]
		timer := time.NewTimer(time.Until(due[i]))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-v.wake:
			mon = monitors[0]
			mon.Depth, i = int(agents.DepthShallow), -1
		case <-timer.C:
			due[i] = time.Now().Add(mon.Interval)
		}
		timer.Stop()
		err := v.patiently(ctx, mon)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i >= 0 {
			due[i] = time.Now().Add(mon.Interval)
		}
		note, failed := v.verdict(err)
		if failed != nil {
			return failed
		}
		// What a shallow look does not see it cannot take back.
		if note != v.note && (note != "" || i == len(monitors)-1) {
			v.note = note
			v.t.results.put(result{m: v.m, turn: v.turn, doing: watching, note: note, noted: true})
		}
	}
}

// patiently looks, and again for a second if a link is down: one that flaps is no reason to
// drain and stop a service, and one that is gone for good takes the node's lease with it.
func (v *vigil) patiently(ctx context.Context, mon resources.Monitor) error {
	const most, each = time.Second, 100 * time.Millisecond
	for end := time.Now().Add(most); ; {
		err := v.look(ctx, mon)
		if !errors.Is(err, vip.ErrLinkDown) || time.Now().After(end) || pause(ctx, each) != nil {
			return err
		}
	}
}

// verdict tells what is only to be noted from what has to be dealt with.
func (v *vigil) verdict(err error) (note string, failed error) {
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, agents.ErrDegraded):
		return err.Error(), nil
	case v.resource.OnFailure == resources.OnFailureIgnore, v.t.holding.Load():
		return "it has failed, and is left as it is: " + err.Error(), nil
	}
	return "", err
}

func earliest(due []time.Time) int {
	best := 0
	for i, d := range due {
		if d.Before(due[best]) {
			best = i
		}
	}
	return best
}
