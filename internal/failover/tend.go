// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// tend watches over a resource that is up, until it fails or the tenure has other
// plans for it: monitors recur, and events bring the first of them forward.
func (t *tenure) tend(ctx context.Context, m *member) {
	ctx, cancel := context.WithCancel(ctx)
	m.cancel, m.doing = cancel, "watch"
	wake := make(chan struct{}, 1)
	if t.watch != nil {
		t.ops.Go(func() {
			t.watch(ctx, m.driver, func() {
				select {
				case wake <- struct{}{}:
				default: // it is about to look anyway
				}
			})
		})
	}
	t.ops.Go(func() {
		err := t.tendUntil(ctx, m, wake)
		if ctx.Err() == nil {
			t.report(result{m: m, what: "watch", err: err})
		}
	})
}

// tendUntil returns why the resource has failed.
func (t *tenure) tendUntil(ctx context.Context, m *member, wake <-chan struct{}) error {
	monitors := m.resource.Monitors
	if m.role == leaning {
		monitors = nil // who has started it looks after it
	}
	due := make([]time.Time, len(monitors))
	for i, mon := range monitors {
		due[i] = time.Now().Add(mon.Interval)
	}
	note := ""
	for {
		i := earliest(due)
		var timer <-chan time.Time
		if i >= 0 {
			timer = time.After(time.Until(due[i]))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
			i = 0
		case <-timer:
		}
		if len(monitors) == 0 {
			continue
		}
		err := m.look(ctx, monitors[i])
		due[i] = time.Now().Add(monitors[i].Interval)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		said, err := verdict(err)
		if err != nil {
			return err
		}
		// What a shallow look does not see it cannot take back.
		if said != note && (said != "" || deepest(monitors, i)) {
			note = said
			t.report(result{m: m, what: "watch", note: note, noted: true})
		}
	}
}

// verdict tells what is not well from what has failed.
func verdict(err error) (note string, failed error) {
	if errors.Is(err, agents.ErrDegraded) {
		return err.Error(), nil
	}
	return "", err
}

func deepest(monitors []resources.Monitor, i int) bool { return i == len(monitors)-1 }

func earliest(due []time.Time) int {
	best := -1
	for i, d := range due {
		if best < 0 || d.Before(due[best]) {
			best = i
		}
	}
	return best
}
