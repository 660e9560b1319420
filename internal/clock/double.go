// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"context"
	"sync"
	"time"
)

// Double is a clock that a test moves. Make it by NewDouble.
type Double struct {
	mu      sync.Mutex
	now     Time
	changed chan struct{} // closed and renewed with each change of now or waiting
	waiting []Time
}

// NewDouble makes a clock that stands at an hour after boot.
func NewDouble() *Double {
	return &Double{now: Time(time.Hour), changed: make(chan struct{})}
}

// Now is where the clock stands.
func (d *Double) Now() Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// Wait returns when the test has moved the clock there.
func (d *Double) Wait(ctx context.Context, until Time) error {
	d.mu.Lock()
	d.waiting = append(d.waiting, until)
	d.change()
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i, w := range d.waiting {
			if w == until {
				d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
				break
			}
		}
		d.change()
	}()
	for {
		d.mu.Lock()
		come, changed := !d.now.Before(until), d.changed
		d.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if come {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// Advance moves the clock.
func (d *Double) Advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
	d.change()
}

// Waited returns when somebody waits for just this instant.
func (d *Double) Waited(ctx context.Context, until Time) error {
	for {
		d.mu.Lock()
		found, changed := false, d.changed
		for _, w := range d.waiting {
			found = found || w == until
		}
		d.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (d *Double) change() {
	close(d.changed)
	d.changed = make(chan struct{})
}
