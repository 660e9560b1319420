// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// doubleReplica is a service with roles, which does as it is told.
type doubleReplica struct {
	doubleSteps
	role             Role
	roleErr, setErr  error
	catchUp, behind  error
	deaf             bool // to what role it is given
	left             int
	score            int
	scores           []string
	drained, standed int
}

func (d *doubleReplica) Drain(ctx context.Context, f Facts, _ func(int)) (int, error) {
	d.drained++
	return d.left, d.SetRole(ctx, f, RoleUnpromoted)
}

func (d *doubleReplica) SetRole(_ context.Context, _ Facts, role Role) error {
	if d.setErr == nil && !d.deaf {
		d.role = role
	}
	return d.setErr
}

func (d *doubleReplica) Role(context.Context, Facts) (Role, error) { return d.role, d.roleErr }
func (d *doubleReplica) CatchUp(context.Context, Facts) error      { return d.catchUp }

func (d *doubleReplica) Standing(context.Context, Facts, Role) (int, error) {
	d.standed++
	return d.score, d.behind
}

func (d *doubleReplica) Set(_ context.Context, score int) error {
	d.scores = append(d.scores, fmt.Sprint(score))
	return errors.New("no cluster") // which must not matter
}

func (d *doubleReplica) Clear(context.Context) error {
	d.scores = append(d.scores, "cleared")
	return errors.New("no cluster")
}

func newDoubleReplica(t *testing.T) (*Replica, *doubleUnits, *doubleReplica) {
	t.Helper()
	units := &doubleUnits{}
	steps := &doubleReplica{doubleSteps: doubleSteps{facts: Facts{Unit: "x.service"}}, role: RolePromoted, score: 7}
	return NewReplica(Env{Instance: "x", StateDir: t.TempDir(), Units: units, Scores: steps}, steps), units, steps
}

// monitored is what a monitor says in a word.
func monitored(r *Replica, ctx context.Context, depth Depth) string {
	err := r.Monitor(ctx, depth)
	var p Promoted
	word := "well"
	switch promoted := errors.As(err, &p); {
	case promoted && p.Err == nil:
		return "promoted"
	case promoted:
		return "promoted, " + p.Err.Error()
	case errors.Is(err, ErrNotRunning):
		return "not running"
	case err != nil:
		word = err.Error()
	}
	return word
}

func TestRoles(t *testing.T) {
	r, units, steps := newDoubleReplica(t)
	ctx := t.Context()
	expect := func(when, want string) {
		t.Helper()
		for _, depth := range []Depth{DepthShallow, DepthTransaction} {
			if got := monitored(r, ctx, depth); got != want {
				t.Errorf("%s, depth %d: %q, want %q", when, depth, got, want)
			}
		}
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	expect("before the start", "not running")
	if err := r.Promote(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("promote of what does not run: %v", err)
	}
	if err := r.Demote(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("demote of what does not run: %v", err)
	}
	for range 2 {
		must("start", r.Start(ctx))
		expect("after the start", "well") // although the service came up writable
		must("demote", r.Demote(ctx))
	}
	if steps.drained > 0 {
		t.Error("a demote of what is not promoted drained")
	}
	for range 2 {
		must("promote", r.Promote(ctx))
		expect("after the promote", "promoted")
		must("start", r.Start(ctx))
		expect("after a start of what is promoted", "promoted")
		must("reload", r.Reload(ctx))
	}
	for range 2 {
		must("demote", r.Demote(ctx))
		expect("after the demote", "well")
	}
	must("promote", r.Promote(ctx))
	for range 2 {
		must("stop", r.Stop(ctx))
		expect("after the stop", "not running")
	}
	if steps.role != RoleUnpromoted {
		t.Error("a stop of what was promoted left it writable")
	}
	if last := steps.scores[len(steps.scores)-1]; last != "cleared" || !slices.Contains(steps.scores, "7") {
		t.Errorf("scores %q", steps.scores)
	}
	if got := strings.Join(units.calls, " "); got != "start start stop stop" {
		t.Errorf("calls %q", got)
	}
}

func TestPromoteThatFails(t *testing.T) {
	for name, spoil := range map[string]func(*doubleReplica){
		"behind":            func(d *doubleReplica) { d.catchUp = errors.New("lacks changes") },
		"service unwilling": func(d *doubleReplica) { d.setErr = errors.New("lacks changes") },
	} {
		r, _, steps := newDoubleReplica(t)
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		spoil(steps)
		if err := r.Promote(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks changes") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "behind" && !slices.Contains(steps.scores, fmt.Sprint(Unfit)) {
			t.Errorf("%s: scores %q", name, steps.scores)
		}
		steps.setErr = nil
		want := "well"
		if name != "behind" {
			want = "promoted" // it could not be made to stand back either, and must be stopped
		}
		if got := monitored(r, t.Context(), DepthShallow); got != want {
			t.Errorf("%s: monitor says %q, want %q", name, got, want)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Errorf("%s: stop: %v", name, err)
		}
	}
}

// A demote succeeds although others are behind, and fails if changes are still
// taken.
func TestDemoteProves(t *testing.T) {
	r, _, steps := newDoubleReplica(t)
	promoted := func() {
		t.Helper()
		if err := errors.Join(r.Start(t.Context()), r.Promote(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	promoted()
	steps.left = 3
	if err := r.Demote(t.Context()); err != nil {
		t.Errorf("others are behind: %v", err)
	}
	promoted()
	steps.deaf = true
	if err := r.Demote(t.Context()); err == nil || !strings.Contains(err.Error(), "still takes changes") {
		t.Errorf("still writable: %v", err)
	}
	if got := monitored(r, t.Context(), DepthShallow); got != "promoted" {
		t.Errorf("still writable: monitor says %q", got)
	}
	steps.deaf, steps.roleErr = false, errors.New("hangs")
	if err := r.Demote(t.Context()); err == nil || !strings.Contains(err.Error(), "hangs") {
		t.Errorf("nobody knows: %v", err)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestMonitorOfRoles(t *testing.T) {
	ill := fmt.Errorf("%w: lags", ErrDegraded)
	for _, tt := range []struct {
		name    string
		promote bool
		spoil   func(r *Replica, units *doubleUnits, d *doubleReplica)
		depth   Depth
		want    string
	}{
		{"lags", false, func(_ *Replica, _ *doubleUnits, d *doubleReplica) { d.behind = ill }, DepthProtocol, "degraded: lags"},
		{"lags, shallow", false, func(_ *Replica, _ *doubleUnits, d *doubleReplica) { d.behind = ill }, DepthShallow, "well"},
		{"others lag", true, func(_ *Replica, _ *doubleUnits, d *doubleReplica) { d.behind = ill }, DepthProtocol, "promoted, degraded: lags"},
		{"does not answer", true, func(_ *Replica, _ *doubleUnits, d *doubleReplica) {
			d.check = func(Depth) error { return errors.New("no") }
		}, DepthProtocol, "promoted, no"},
		{"became read-only", true, func(_ *Replica, _ *doubleUnits, d *doubleReplica) { d.role = RoleUnpromoted }, DepthProtocol, "promoted, promoted, but the service refuses changes from clients"},
		{"became writable", false, func(_ *Replica, _ *doubleUnits, d *doubleReplica) { d.role = RolePromoted }, DepthProtocol, "not promoted, but the service takes changes from clients"},
		{"note lost, writable", true, func(r *Replica, _ *doubleUnits, _ *doubleReplica) { r.records().forget(r.log) }, DepthShallow, "promoted"},
		{"note lost, read-only", false, func(r *Replica, _ *doubleUnits, _ *doubleReplica) { r.records().forget(r.log) }, DepthShallow, "well"},
		{"note lost, hangs", true, func(r *Replica, _ *doubleUnits, d *doubleReplica) {
			r.records().forget(r.log)
			d.roleErr = errors.New("hangs")
		}, DepthShallow, "what the start noted is lost, and so is the role: hangs"},
		{"unit on its way", true, func(_ *Replica, units *doubleUnits, _ *doubleReplica) { units.active = "activating" }, DepthShallow, "unit x.service is activating (dead)"},
		{"unit stopped", true, func(_ *Replica, units *doubleUnits, _ *doubleReplica) { units.active = "failed" }, DepthShallow, "not running"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, units, steps := newDoubleReplica(t)
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.promote {
				if err := r.Promote(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			tt.spoil(r, units, steps)
			if got := monitored(r, t.Context(), tt.depth); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err := r.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A promoted replica without addresses has nothing that a gate could close:
// others follow it on the same ports.
func TestReplicaIsFollowedBehindItsGate(t *testing.T) {
	rec := record{Facts: Facts{Unit: "x.service", Ports: []uint16{389}}}
	if rec.unreachable() {
		t.Error("unpromoted, it cannot be reached")
	}
	rec.Promoted = true
	if !rec.unreachable() {
		t.Error("promoted and without addresses, its gate would shut out the others")
	}
	rec.Facts.Bound = AddressList{"192.0.2.1"}.Addrs()
	if !rec.unreachable() {
		t.Error("bound to an address of the node, its gate would shut out the others")
	}
	rec.Shared = AddressList{"192.0.2.7"}.Addrs()
	if rec.unreachable() {
		t.Error("with a shared address, it cannot be reached")
	}
}
