// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hesitant is a service of which the first checks hang, and the others take a
// while.
type hesitant struct {
	doubleSteps
	hang int           // so many checks never get an answer
	slow time.Duration // what the others take
}

func (h *hesitant) Check(ctx context.Context, _ Facts, _ Depth) error {
	answer := make(<-chan time.Time) // never
	if h.hang == 0 {
		answer = time.After(h.slow)
	} else {
		h.hang--
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return errors.New("no answer to greeting in time")
	}
}

// A dialogue that hangs does not use up the start, nor is a service given up that
// is only slow.
func TestStartAsksAgain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		steps   hesitant
		most    time.Duration
		wantErr bool
	}{
		{"answers at once", hesitant{}, 0, false},
		{"the first dialogue hangs", hesitant{hang: 1}, 2 * time.Second, false},
		{"the first three hang", hesitant{hang: 3}, 8 * time.Second, false},
		{"slow", hesitant{slow: 6 * time.Second}, 14 * time.Second, false},
		{"very slow", hesitant{slow: 20 * time.Second}, 55 * time.Second, false},
		{"never", hesitant{hang: 1000}, time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, units, _ := newDouble(t)
				tt.steps.facts = Facts{Unit: "x.service"}
				s.steps = &tt.steps
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				err := s.Start(ctx)
				if (err != nil) != tt.wantErr || err != nil && !strings.Contains(err.Error(), "no answer to greeting") {
					t.Errorf("got %v, want an error: %v", err, tt.wantErr)
				}
				if took := time.Since(began); took > tt.most {
					t.Errorf("took %s, more than %s (%q)", took, tt.most, units.calls)
				}
			})
		})
	}
}

// reasoned says what is wrong, if it has a second to look.
type reasoned struct{ doubleSteps }

func (*reasoned) Check(ctx context.Context, _ Facts, _ Depth) error {
	if end, _ := ctx.Deadline(); time.Until(end) < time.Second {
		<-ctx.Done()
		return errors.New("list TCP sockets: too late")
	}
	return errors.New("somebody else has the port")
}

// What a start gives as its reason is not that its own last look was cut off.
func TestStartSaysWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newDouble(t)
		s.steps = &reasoned{doubleSteps: doubleSteps{facts: Facts{Unit: "x.service"}}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Start(ctx); err == nil || !strings.Contains(err.Error(), "somebody else has the port") {
			t.Errorf("got %v", err)
		}
	})
}
