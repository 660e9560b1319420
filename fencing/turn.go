// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"sync"
)

// errYielded is why a check was cut short: somebody is to be fenced.
var errYielded = errors.New("gave way to a fencing")

// turn is whose turn it is at a device: most of them let only one in at a time. A check
// gives way to a fencing at once.
type turn struct {
	mu      sync.Mutex
	waiting int // fencings that have it or want it
	check   context.CancelCauseFunc
	next    chan struct{} // has one in it while nobody has the device
}

func newTurn() *turn {
	t := &turn{next: make(chan struct{}, 1)}
	t.next <- struct{}{}
	return t
}

// take waits for the device on behalf of a fencing.
func (t *turn) take(ctx context.Context) (release func(), err error) {
	t.mu.Lock()
	t.waiting++
	if t.check != nil {
		t.check(errYielded)
	}
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting--
	}
	select {
	case <-t.next:
		return func() { leave(); t.next <- struct{}{} }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// look waits for the device on behalf of a check, whose context ends when it has to give
// way.
func (t *turn) look(ctx context.Context) (_ context.Context, release func(), err error) {
	select {
	case <-t.next:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting > 0 {
		t.next <- struct{}{}
		return nil, nil, errYielded
	}
	ctx, t.check = context.WithCancelCause(ctx)
	return ctx, func() {
		t.mu.Lock()
		t.check(nil)
		t.check = nil
		t.mu.Unlock()
		t.next <- struct{}{}
	}, nil
}
