// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// doubleUnits is a systemd with one unit, which does as it is told.
type doubleUnits struct {
	active             string // ActiveState; empty: inactive
	stateErr, startErr error
	stop               func(ctx context.Context) error
	calls              []string
}

func (u *doubleUnits) State(context.Context, string) (unit.State, error) {
	if u.stateErr != nil {
		return unit.State{}, u.stateErr
	}
	active := u.active
	if active == "" {
		active = "inactive"
	}
	return unit.State{Name: "x.service", Load: "loaded", Active: active, Sub: "dead"}, nil
}

func (u *doubleUnits) Start(context.Context, string) error {
	u.calls = append(u.calls, "start")
	if u.startErr == nil {
		u.active = "active"
	}
	return u.startErr
}

func (u *doubleUnits) Stop(ctx context.Context, _ string) error {
	u.calls = append(u.calls, "stop")
	if u.stop != nil {
		if err := u.stop(ctx); err != nil {
			return err
		}
	}
	u.active = "inactive"
	return nil
}

func (u *doubleUnits) Kill(_ context.Context, _ string, sig syscall.Signal) error {
	u.calls = append(u.calls, sig.String())
	u.stop = nil // what was killed does not resist any more
	return nil
}

// doubleSteps is a service without ports, so that no gate is needed.
type doubleSteps struct {
	facts      Facts
	inspectErr error
	check      func(depth Depth) error
	drain      func(ctx context.Context) (int, error)
	drainTell  func(ctx context.Context, tell func(int)) (int, error)
}

func (s *doubleSteps) Inspect(context.Context) (Facts, error) { return s.facts, s.inspectErr }

func (s *doubleSteps) Check(_ context.Context, _ Facts, depth Depth) error {
	if s.check == nil {
		return nil
	}
	return s.check(depth)
}

func (s *doubleSteps) Drain(ctx context.Context, _ Facts, tell func(int)) (int, error) {
	if s.drainTell != nil {
		return s.drainTell(ctx, tell)
	}
	if s.drain == nil {
		return 0, nil
	}
	return s.drain(ctx)
}

func newDouble(t *testing.T) (*Service, *doubleUnits, *doubleSteps) {
	t.Helper()
	units, steps := &doubleUnits{}, &doubleSteps{facts: Facts{Unit: "x.service"}}
	return NewService(Env{Instance: "x", StateDir: t.TempDir(), Units: units}, steps), units, steps
}

func TestLifecycle(t *testing.T) {
	s, units, _ := newDouble(t)
	if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	for range 2 { // a second start of what runs is no error
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Monitor(t.Context(), DepthTransaction); err != nil {
			t.Errorf("while it runs: %v", err)
		}
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
			t.Errorf("after the stop: %v", err)
		}
	}
	if want := []string{"start", "start", "stop", "stop"}; !slices.Equal(units.calls, want) {
		t.Errorf("calls %q, want %q", units.calls, want)
	}
}

func TestMonitorNeverGuesses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		active   string
		stateErr error
		checkErr error
		depth    Depth
		want     error // nil: some error that is neither
	}{
		{"systemd does not answer", "", unit.ErrUnknown, nil, DepthShallow, unit.ErrUnknown},
		{"on its way down", "deactivating", nil, nil, DepthShallow, nil},
		{"on its way up", "activating", nil, nil, DepthShallow, nil},
		{"does not answer its protocol", "active", nil, errors.New("no banner"), DepthProtocol, nil},
		{"not well", "active", nil, ErrDegraded, DepthProtocol, ErrDegraded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, units, steps := newDouble(t)
			units.active, units.stateErr = tt.active, tt.stateErr
			steps.check = func(Depth) error { return tt.checkErr }
			err := s.Monitor(t.Context(), tt.depth)
			if err == nil || errors.Is(err, ErrNotRunning) {
				t.Fatalf("got %v, want an error that is not ErrNotRunning", err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestStartThatFailsTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, units, steps := newDouble(t)
		steps.check = func(Depth) error { return errors.New("no banner") }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Start(ctx)
		if err == nil || !strings.Contains(err.Error(), "no banner") {
			t.Errorf("got %v, want why it does not answer", err)
		}
		if want := []string{"start", "stop"}; !slices.Equal(units.calls, want) {
			t.Errorf("calls %q, want %q", units.calls, want)
		}
	})
}

// A daemon that ignores every request is killed within the reserve, and the
// stop still is on time.
func TestStopThatHangsIsKilledInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, units, steps := newDouble(t)
		units.active = "active"
		units.stop = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		steps.drain = func(ctx context.Context) (int, error) { <-ctx.Done(); return 3, nil }
		const allowed = 30 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), allowed)
		defer cancel()
		begin := time.Now()
		if err := s.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > allowed-minReserve {
			t.Errorf("took %s of %s: no reserve was left", took, allowed)
		}
		if want := []string{"stop", "killed", "stop"}; !slices.Equal(units.calls, want) {
			t.Errorf("calls %q, want %q", units.calls, want)
		}
	})
}

func TestStopNeverLies(t *testing.T) {
	child := exec.Command("sleep", "60")
	child.Env = []string{"MAIL_CONFIG=/etc/never-lies"}
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		units   doubleUnits
		match   process.Match
		wantErr bool
	}{
		{"the unit stays active", doubleUnits{active: "active", stop: func(context.Context) error { return unit.ErrLeftovers }}, process.Match{}, false}, // the kill helps
		{"systemd does not answer, and nothing says where its processes are", doubleUnits{stateErr: unit.ErrUnknown, stop: unknown}, process.Match{}, true},
		{"systemd does not answer, but no process lives", doubleUnits{stateErr: unit.ErrUnknown, stop: unknown}, process.Match{ControlGroup: "/system.slice/none.service"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, steps := newDouble(t)
			s.env.Units = &stubborn{tt.units}
			steps.facts.Process = tt.match
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := s.Stop(ctx); (err != nil) != tt.wantErr {
				t.Errorf("got %v, want an error: %v", err, tt.wantErr)
			}
		})
	}
	t.Run("a process that the unit knows nothing of", func(t *testing.T) {
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- child.Wait() }()
		// A moment after exec the kernel does not show the environment yet.
		for environ := ""; environ == ""; {
			data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", child.Process.Pid))
			environ = string(data)
		}
		s, _, steps := newDouble(t)
		steps.facts.Process = process.Match{Programs: []string{programDir(t, path)}, Environ: "MAIL_CONFIG=/etc/never-lies"}
		if err := s.Monitor(t.Context(), DepthShallow); err == nil || errors.Is(err, ErrNotRunning) {
			t.Errorf("monitor says %v while %d lives", err, child.Process.Pid)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = child.Process.Kill()
			t.Errorf("stop returned while %d lives", child.Process.Pid)
		}
	})
}

func unknown(context.Context) error { return fmt.Errorf("stop x.service: %w", unit.ErrUnknown) }

// stubborn does not give in to a kill while its stop is unknown.
type stubborn struct{ doubleUnits }

func (u *stubborn) Kill(ctx context.Context, name string, sig syscall.Signal) error {
	if u.stateErr != nil {
		return u.stateErr
	}
	return u.doubleUnits.Kill(ctx, name, sig)
}

// A broken configuration does not make a running service look stopped.
func TestMonitorWithoutConfiguration(t *testing.T) {
	for _, cause := range []error{ErrInstalled, ErrNode, ErrParameter} {
		s, units, steps := newDouble(t)
		steps.inspectErr = fmt.Errorf("no configuration: %w", cause)
		units.active = "active"
		if err := s.Monitor(t.Context(), DepthShallow); err != nil {
			t.Errorf("%v: monitor of what runs: %v", cause, err)
		}
		units.active = "inactive"
		if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%v: monitor of what does not run: %v", cause, err)
		}
	}
}

func TestStopWorksFromWhatTheStartNoted(t *testing.T) {
	s, units, steps := newDouble(t)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The software goes away.
	steps.facts, steps.inspectErr = Facts{Unit: "x.service"}, ErrInstalled
	if err := s.Monitor(t.Context(), DepthShallow); err != nil {
		t.Errorf("monitor of what runs on: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if units.active != "inactive" {
		t.Error("the unit was not stopped")
	}
	if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
		t.Errorf("on a bare node: %v", err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, ErrInstalled) {
		t.Errorf("start on a bare node: %v", err)
	}
}
