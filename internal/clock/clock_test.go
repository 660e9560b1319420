// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestBootWaits(t *testing.T) {
	var clock Boot
	start := clock.Now()
	until := start.Add(30 * time.Millisecond)
	if err := clock.Wait(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	if now := clock.Now(); now.Before(until) {
		t.Errorf("came back %s early", until.Sub(now))
	}
	if err := clock.Wait(t.Context(), start); err != nil {
		t.Errorf("a time that is past: %v", err)
	}
}

func TestBootWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var clock Boot
	if err := clock.Wait(ctx, clock.Now().Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := clock.Wait(ctx, clock.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its end: got %v", err)
	}
}

func TestDouble(t *testing.T) {
	clock := NewDouble()
	until := clock.Now().Add(time.Minute)
	done := make(chan error, 1)
	go func() { done <- clock.Wait(t.Context(), until) }()
	if err := clock.Waited(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	clock.Advance(59 * time.Second)
	select {
	case err := <-done:
		t.Fatalf("came back a second early: %v", err)
	default:
	}
	clock.Advance(time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
