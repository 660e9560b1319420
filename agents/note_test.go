// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// What the start noted may be damaged; the parameters name the unit as well.
func TestStopWithDamagedNote(t *testing.T) {
	for _, note := range []string{"", "{", "{}", "[]", "null", `{"facts":{"unit":""}}`, `{"facts":{"unit":7}}`} {
		t.Run(note, func(t *testing.T) {
			s, units, _ := newDouble(t)
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.records().path(), []byte(note), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Monitor(t.Context(), DepthShallow); err == nil || errors.Is(err, ErrNotRunning) {
				t.Errorf("monitor: %v", err)
			}
			if err := s.Stop(t.Context()); err != nil || !slices.Contains(units.calls, "stop") {
				t.Errorf("stop: %v, calls %q", err, units.calls)
			}
			if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
				t.Errorf("monitor after the stop: %v", err)
			}
		})
	}
}

// Where parameters name no unit, none was started.
func TestMonitorWithoutUnit(t *testing.T) {
	s, units, steps := newDouble(t)
	steps.facts, steps.inspectErr = Facts{}, ErrParameter
	units.stateErr = errors.New("asked for a unit without a name")
	if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
