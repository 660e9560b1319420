// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A drain of which not everything is known was not complete.
func TestDrainIncomplete(t *testing.T) {
	for name, tt := range map[string]struct {
		left int
		err  error
		want bool
	}{
		"all done":  {0, nil, true},
		"some left": {2, nil, false},
		"unknown":   {0, errors.New("cannot look"), false},
	} {
		s, _, steps := newDouble(t)
		steps.drain = func(context.Context) (int, error) { return tt.left, tt.err }
		if d := s.drain(t.Context(), record{}, time.Now().Add(time.Second)); d.Complete() != tt.want || !errors.Is(d.Err, tt.err) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// Sessions that cannot be counted are not none.
func TestDrainSessionsUnknown(t *testing.T) {
	s, _, _ := newDouble(t)
	rec := record{Facts: Facts{Ports: []uint16{9}}}
	if _, _, _, err := s.drainSessions(ended(t), rec, &progress{}); err == nil {
		t.Error("counted without time to look")
	}
}

// The work in hand has all of the drain's time.
func TestDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, steps := newDouble(t)
		var left time.Duration
		steps.drain = func(ctx context.Context) (int, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return 0, nil
		}
		const all = 7 * time.Second
		if s.drain(t.Context(), record{}, time.Now().Add(all)); left != all {
			t.Errorf("%s of %s", left, all)
		}
	})
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
