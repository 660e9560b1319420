// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"testing"
	"time"
)

func TestStopBudget(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		name               string
		total, drain       time.Duration
		wantDrain, wantEnd time.Duration
	}{
		{"a minute gives the drain what it asks for", 60 * time.Second, 20 * time.Second, 20 * time.Second, 48 * time.Second},
		{"a long drain leaves time for an orderly stop", 60 * time.Second, 10 * time.Minute, 46 * time.Second, 48 * time.Second},
		{"the reserve is three seconds at least", 12 * time.Second, time.Minute, 7 * time.Second, 9 * time.Second},
		{"but never more than a third", 3 * time.Second, time.Minute, 1500 * time.Millisecond, 2 * time.Second},
		{"no drain", 60 * time.Second, 0, 0, 48 * time.Second},
		{"no time at all", 0, 20 * time.Second, 0, 0},
		{"a deadline that has passed", -5 * time.Second, 20 * time.Second, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := stopBudget(now, now.Add(tt.total), tt.drain)
			if got := b.Drain.Sub(now); got != tt.wantDrain {
				t.Errorf("drain until %s, want %s", got, tt.wantDrain)
			}
			if got := b.Kill.Sub(now); got != tt.wantEnd {
				t.Errorf("orderly stop until %s, want %s", got, tt.wantEnd)
			}
		})
	}
}

// Whatever the figures, the parts come in order and a reserve remains.
func FuzzStopBudget(f *testing.F) {
	f.Add(int64(60_000), int64(20_000))
	f.Add(int64(1), int64(0))
	f.Fuzz(func(t *testing.T, totalMillis, drainMillis int64) {
		const day = 24 * 60 * 60 * 1000
		total := time.Duration(totalMillis%day) * time.Millisecond
		drain := max(time.Duration(drainMillis%day)*time.Millisecond, 0)
		now := time.Unix(1_000_000, 0)
		deadline := now.Add(total)
		b := stopBudget(now, deadline, drain)
		if b.Drain.Before(now) || b.Kill.Before(b.Drain) {
			t.Fatalf("out of order: now, drain +%s, kill +%s", b.Drain.Sub(now), b.Kill.Sub(now))
		}
		if total > 0 && deadline.Sub(b.Kill) < total/5 {
			t.Fatalf("reserve of %s out of %s", deadline.Sub(b.Kill), total)
		}
	})
}
