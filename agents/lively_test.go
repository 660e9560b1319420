// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/mailha/mailha/agents/unit"
)

func TestLively(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	state := unit.State{Name: "x.service", MainPID: pid}
	if err := lively(state); err != nil {
		t.Errorf("it runs: %v", err)
	}
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("not suspended: %v, %v", status, err)
	}
	if err := lively(state); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("it is suspended: %v", err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	for _, pid := range []int{pid, 0} {
		if err := lively(unit.State{MainPID: pid}); err != nil {
			t.Errorf("no process %d: %v", pid, err)
		}
	}
}

// rehearsing is Steps that can rehearse.
type rehearsing struct {
	*doubleSteps
	err error
}

func (r rehearsing) Rehearse(context.Context, Facts) error { return r.err }

// What is only known to hinder the next start leaves a service degraded, of whatever
// class the reason is: the service runs.
func TestLook(t *testing.T) {
	gone, bad := errors.New("gone"), errors.New("bad")
	for _, tt := range []struct {
		name            string
		check, rehearse error
		want            error
		degraded        bool
		text            string
	}{
		{name: "well"},
		{name: "cannot start again", rehearse: errors.Join(ErrInstalled, gone), want: ErrDegraded, degraded: true, text: "could not be started again: "},
		{name: "does not answer", check: bad, want: bad, text: "bad"},
		{name: "does not answer, cannot start again", check: bad, rehearse: gone, want: bad, text: "bad; nor could it be started again: gone"},
		{name: "degraded twice", check: errors.Join(ErrDegraded, bad), rehearse: gone, want: bad, degraded: true, text: "gone"},
	} {
		s, _, steps := newDouble(t)
		steps.check = func(Depth) error { return tt.check }
		s.steps = rehearsing{steps, tt.rehearse}
		err := s.look(t.Context(), Facts{}, DepthProtocol)
		if !errors.Is(err, tt.want) || errors.Is(err, ErrDegraded) != tt.degraded || errors.Is(err, ErrInstalled) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}
