// SPDX-License-Identifier: Apache-2.0

package unit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents/unit"
)

// TestSystemd runs all that needs a real systemd, on one node: what the package promises
// is how systemd and dbus-daemon behave, and no double knows that.
func TestSystemd(t *testing.T) {
	n := newNode(t)
	tests := []struct {
		name string
		run  func(*testing.T, *box)
	}{
		{"start and stop", startAndStop},
		{"start is over before the unit is ready", startDeadline},
		{"start fails", startFails},
		{"unit is gone after its start", startInVain},
		{"condition is not met", conditionUnmet},
		{"dependency fails", dependencyFails},
		{"start is cancelled by a stop", startCancelled},
		{"stop is cancelled by a start", stopCancelled},
		{"stop of a queued start", stopQueuedStart},
		{"stop hangs until killed", stopHangs},
		{"stop by a manager that ends", stopByManager},
		{"stop leaves processes", stopLeavesProcesses},
		{"stop of a masked unit", stopMasked},
		{"stop of a unit whose file is gone", stopRemoved},
		{"stop of a unit waiting for its restart", stopAutoRestart},
		{"start limit", startLimit},
		{"restart", restart},
		{"reload", reload},
		{"processes", processes},
		{"kill of nothing", killNothing},
		{"alias", alias},
		{"kinds of units", kinds},
		{"names that can't be", badNames},
		{"reexec during a start", reexecDuringStart},
		{"reexec during a start that fails", reexecDuringFailingStart},
		{"bus restart during a stop", busRestartDuringStop},
		{"stop ends while the bus is away", stopEndsWithoutBus},
		{"bus comes back before its time is up", startWithoutBus},
		{"reads during reexec and bus restart", readsDuringUpheaval},
		{"bus hangs", busHangs},
		{"watch", watch},
		{"watch over a bus restart", watchBusRestart},
		{"watch over a reexec", watchReexec},
		{"many at once", manyAtOnce},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBox(t, n)) })
	}
}

// box is one unit on the node, and a manager to drive it.
type box struct {
	node *node
	m    *unit.Manager
	unit string // name of the unit
	gate string // FIFO on which the unit waits where it says "read x <GATE"
}

func newBox(t *testing.T, n *node) *box {
	m := unit.New(n.address(t), nil)
	t.Cleanup(func() { m.Close() })
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, strings.TrimPrefix(t.Name(), "TestSystemd/"))
	b := &box{n, m, "t-" + id + ".service", "/run/gate-" + id}
	n.sh(t, "rm -f "+b.gate+"; mkfifo "+b.gate)
	return b
}

// install writes the unit file; GATE stands for the path of the gate. Units lie where a mask can go over them.
func (b *box) install(t *testing.T, unitFile string) {
	t.Helper()
	b.installAs(t, b.unit, unitFile)
}

func (b *box) installAs(t *testing.T, name, unitFile string) {
	t.Helper()
	b.node.sh(t, fmt.Sprintf("cat >/usr/lib/systemd/system/%s <<'END'\n%s\nEND\nsystemctl daemon-reload",
		name, strings.ReplaceAll(unitFile, "GATE", b.gate)))
	t.Cleanup(func() {
		_, err := b.node.try("U=" + name + `
			systemctl stop --no-block $U || :
			while case $(systemctl is-active $U) in active|reloading|activating|deactivating) ;; *) false;; esac; do
				systemctl kill -s KILL $U || : # what ExecStop= started, too
				sleep 0.01
			done
			rm -f /usr/lib/systemd/system/$U /etc/systemd/system/$U
			systemctl daemon-reload
			systemctl reset-failed $U || :`)
		if err != nil {
			t.Errorf("clean up %s: %v", name, err)
		}
	})
}

// open lets what waits at the gate go on.
func (b *box) open(t *testing.T) {
	t.Helper()
	b.node.sh(t, "echo go >"+b.gate)
}

// hostGate opens the gate from the host for whoever is about to read it, and returns when it does.
func (b *box) hostGate(t *testing.T) *os.File {
	t.Helper()
	pid, err := b.node.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	var gate *os.File
	err = later(t, func() (err error) {
		gate, err = os.OpenFile(fmt.Sprintf("/proc/%d/root%s", pid, b.gate), os.O_WRONLY, 0)
		return err
	})()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	return gate
}

// within returns a context that is longer than any right answer takes.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (b *box) state(t *testing.T) unit.State {
	t.Helper()
	s, err := b.m.State(within(t, 10*time.Second), b.unit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *box) start(t *testing.T) {
	t.Helper()
	if err := b.m.Start(within(t, 20*time.Second), b.unit); err != nil {
		t.Fatal(err)
	}
}

func (b *box) stop(t *testing.T) {
	t.Helper()
	if err := b.m.Stop(within(t, 20*time.Second), b.unit); err != nil {
		t.Fatal(err)
	}
}

// await waits until the unit is seen in a state, by a manager of its own.
func (b *box) await(t *testing.T, what string, is func(unit.State) bool) unit.State {
	t.Helper()
	m := unit.New(b.node.address(t), nil)
	defer m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got unit.State
	var ok bool
	m.Watch(ctx, b.unit, func(s unit.State) {
		if got = s; is(s) {
			ok = true
			cancel()
		}
	})
	if !ok {
		t.Fatalf("unit never was %s; last seen %s", what, got)
	}
	return got
}

func (b *box) awaitActive(t *testing.T, active string) unit.State {
	t.Helper()
	return b.await(t, active, func(s unit.State) bool { return s.Active == active })
}

// later runs f beside the test and returns what waits for its end.
func later(t *testing.T, f func() error) func() error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() error {
		t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(30 * time.Second):
			t.Fatal("didn't return in 30 s")
			return nil
		}
	}
}

func (b *box) startLater(t *testing.T) func() error {
	return later(t, func() error { return b.m.Start(within(t, 25*time.Second), b.unit) })
}

func (b *box) stopLater(t *testing.T) func() error {
	return later(t, func() error { return b.m.Stop(within(t, 25*time.Second), b.unit) })
}

// wantJobError checks an error's job, and that it is neither "unknown" nor any other sentinel.
func wantJobError(t *testing.T, err error, op, result, active string) unit.State {
	t.Helper()
	var je *unit.JobError
	if !errors.As(err, &je) {
		t.Fatalf("got error %v, want a JobError", err)
	}
	if je.Op != op || je.Result != result || je.State.Active != active {
		t.Fatalf("got %v; want %s job %q and unit %s", err, op, result, active)
	}
	if errors.Is(err, unit.ErrUnknown) != (result == unit.ResultLost) {
		t.Fatalf("ErrUnknown is wrong for %v", err)
	}
	return je.State
}

const sleeper = "[Service]\nExecStart=/bin/sleep infinity"

// gated becomes ready when its gate is opened, with the last word of what was written there as
// exit status if that is a number.
const gated = `[Service]
Type=notify
NotifyAccess=all
TimeoutStartSec=600
ExecStart=/bin/sh -c 'read x <GATE; case $$x in [0-9]*) exit $$x;; esac; systemd-notify --ready; exec sleep infinity'`

// slowStop needs its gate opened to stop.
const slowStop = `[Service]
TimeoutStopSec=600
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'read x <GATE'`

func startAndStop(t *testing.T, b *box) {
	b.install(t, sleeper)
	if s := b.state(t); s.Stopped() != unit.Yes || s.Running() != unit.No || s.Load != "loaded" {
		t.Fatalf("before start: %s", s)
	}
	b.start(t)
	s := b.state(t)
	want := unit.State{Name: b.unit, Load: "loaded", Active: "active", Sub: "running", Result: "success",
		MainPID: s.MainPID, ControlGroup: "/system.slice/" + b.unit, InvocationID: s.InvocationID}
	if diff := cmp.Diff(want, s); diff != "" || s.MainPID <= 1 || len(s.InvocationID) != 32 {
		t.Fatalf("after start: -want +got\n%s", diff)
	}
	b.start(t)
	if again := b.state(t); again != s {
		t.Fatalf("second start changed the unit:\n%s", cmp.Diff(s, again))
	}
	b.stop(t)
	if s := b.state(t); s.Stopped() != unit.Yes || s.MainPID != 0 {
		t.Fatalf("after stop: %s", s)
	}
	b.stop(t)
}

func startDeadline(t *testing.T, b *box) {
	b.install(t, gated)
	err := b.m.Start(within(t, 3*time.Second), b.unit) // enough to queue the job; it waits at the gate
	if !errors.Is(err, unit.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "has not ended") {
		t.Fatalf("got %v, want ErrUnknown for a job that has not ended", err)
	}
	if s := b.state(t); s.Running() != unit.Unknown || s.Stopped() != unit.Unknown || s.Job != "start" {
		t.Fatalf("while it starts: %s", s)
	}
	wait := b.startLater(t) // joins the job
	b.open(t)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func startFails(t *testing.T, b *box) {
	b.install(t, "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'exit 3'")
	err := b.m.Start(within(t, 10*time.Second), b.unit)
	s := wantJobError(t, err, "start", "failed", "failed")
	if s.Result != "exit-code" || s.MainCode != "exited" || s.MainStatus != 3 {
		t.Errorf("state %+v lacks why", s)
	}
	for _, word := range []string{b.unit, "exit-code", "exited with 3"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q lacks %q", err, word)
		}
	}
}

func startInVain(t *testing.T, b *box) {
	// systemd takes the parent's end for success, and then finds no daemon.
	b.install(t, "[Service]\nType=forking\nExecStart=/bin/true")
	wantJobError(t, b.m.Start(within(t, 10*time.Second), b.unit), "start", "done", "inactive")
}

func conditionUnmet(t *testing.T, b *box) {
	b.install(t, "[Unit]\nConditionPathExists=/nowhere\n"+sleeper)
	wantJobError(t, b.m.Start(within(t, 10*time.Second), b.unit), "start", "done", "inactive")
}

func dependencyFails(t *testing.T, b *box) {
	b.installAs(t, "t-broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false")
	b.install(t, "[Unit]\nRequires=t-broken.service\nAfter=t-broken.service\n"+sleeper)
	wantJobError(t, b.m.Start(within(t, 10*time.Second), b.unit), "start", "dependency", "inactive")
}

func startCancelled(t *testing.T, b *box) {
	b.install(t, gated)
	wait := b.startLater(t)
	b.awaitActive(t, "activating")
	b.node.sh(t, "systemctl stop "+b.unit)
	var je *unit.JobError
	if err := wait(); !errors.As(err, &je) || je.Result != "canceled" || je.State.Running() == unit.Yes {
		t.Fatalf("got %v, want canceled", err)
	}
}

func stopCancelled(t *testing.T, b *box) {
	b.install(t, slowStop)
	b.start(t)
	wait := b.stopLater(t)
	b.awaitActive(t, "deactivating")
	b.node.sh(t, "systemctl start --no-block "+b.unit)
	var je *unit.JobError
	if err := wait(); !errors.As(err, &je) || je.Result != "canceled" || je.Op != "stop" {
		t.Fatalf("got %v, want canceled", err)
	}
	b.open(t)
	b.awaitActive(t, "active")
}

// A start that waits for another unit leaves the unit inactive; it isn't stopped
// before that job is gone, or it would start a moment later.
func stopQueuedStart(t *testing.T, b *box) {
	b.installAs(t, "t-first.service", strings.ReplaceAll(gated, "GATE", b.gate))
	b.install(t, "[Unit]\nWants=t-first.service\nAfter=t-first.service\n"+sleeper)
	b.node.sh(t, "systemctl start --no-block "+b.unit)
	s := b.await(t, "queued", func(s unit.State) bool { return s.Job == "start" })
	if s.Active != "inactive" {
		t.Fatalf("queued unit is %s", s)
	}
	b.stop(t)
	if s := b.state(t); s.Stopped() != unit.Yes || s.Job != "" {
		t.Fatalf("after stop: %s", s)
	}
}

const stubborn = `[Service]
Type=notify
NotifyAccess=all
TimeoutStopSec=600
ExecStart=/bin/sh -c 'trap "" TERM; systemd-notify --ready; while :; do sleep 1000; done'`

func stopHangs(t *testing.T, b *box) {
	b.install(t, stubborn)
	b.start(t)
	err := b.m.Stop(within(t, 3*time.Second), b.unit) // enough to queue the job
	if !errors.Is(err, unit.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want ErrUnknown at the deadline", err)
	}
	if s := b.state(t); s.Stopped() != unit.Unknown || s.Sub != "stop-sigterm" {
		t.Fatalf("while it stops: %s", s)
	}
	wait := b.stopLater(t)
	if err := b.m.Kill(within(t, 10*time.Second), b.unit, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

// A manager that is being stopped can stop a unit that is ordered before it; what else is
// ordered stays so.
func stopByManager(t *testing.T, b *box) {
	b.install(t, "[Unit]\nBefore=mailhad.service\n[Service]\nExecStart=/bin/sleep 1000")
	b.installAs(t, "part-of-it.service", "[Unit]\nPartOf="+b.unit+"\n[Service]\nExecStart=/bin/sleep 1000")
	b.installAs(t, "mailhad.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sh -c 'read x <GATE'")
	b.node.sh(t, "systemctl start mailhad part-of-it")
	b.start(t)
	b.node.sh(t, "systemctl stop --no-block mailhad; while [ $(systemctl is-active mailhad) != deactivating ]; do sleep 0.01; done || :")
	if err := b.m.Stop(within(t, 5*time.Second), b.unit); err != nil {
		t.Error(err)
	}
	if s := b.state(t); s.Stopped() != unit.Yes {
		t.Errorf("it is %s", s)
	}
	if s := b.node.sh(t, "systemctl is-active part-of-it || :"); s != "inactive" {
		t.Errorf("what is a part of it is %s", s)
	}
	b.open(t)
}

func stopLeavesProcesses(t *testing.T, b *box) {
	b.install(t, `[Service]
Type=notify
NotifyAccess=all
KillMode=process
ExecStart=/bin/sh -c 'setsid sleep 1000 & echo $$! >/run/leftover; systemd-notify --ready; wait'`)
	b.start(t)
	left := b.node.sh(t, "cat /run/leftover")
	for range 2 { // the second time the unit is inactive already
		err := b.m.Stop(within(t, 10*time.Second), b.unit)
		if !errors.Is(err, unit.ErrLeftovers) || !strings.Contains(err.Error(), left) {
			t.Fatalf("got %v, want ErrLeftovers with process %s", err, left)
		}
		if s := b.state(t); s.Stopped() != unit.Yes {
			t.Fatalf("the unit itself is %s", s)
		}
	}
	// Not even a removed unit makes systemd forget them.
	b.node.sh(t, "rm /usr/lib/systemd/system/"+b.unit+"; systemctl daemon-reload; systemctl daemon-reexec")
	if err := b.m.Stop(within(t, 10*time.Second), b.unit); !errors.Is(err, unit.ErrLeftovers) {
		t.Fatalf("got %v after the unit file was removed, want ErrLeftovers", err)
	}
	if err := b.m.Kill(within(t, 10*time.Second), b.unit, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.stop(t)
}

func stopMasked(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	b.node.sh(t, "systemctl mask "+b.unit+"; systemctl daemon-reload")
	if s := b.state(t); s.Load != "masked" || s.Running() != unit.Yes {
		t.Fatalf("masked while it runs: %s", s)
	}
	b.stop(t)
	for name, f := range map[string]func(context.Context, string) error{"Start": b.m.Start, "Restart": b.m.Restart} {
		if err := f(within(t, 10*time.Second), b.unit); !errors.Is(err, unit.ErrMasked) {
			t.Errorf("%s: got %v, want ErrMasked", name, err)
		}
	}
	b.stop(t)
}

func stopRemoved(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	b.node.sh(t, "rm /usr/lib/systemd/system/"+b.unit+"; systemctl daemon-reload")
	if s := b.state(t); s.Running() != unit.Yes {
		t.Fatalf("removed while it runs: %s", s)
	}
	b.stop(t)
	if s := b.state(t); s.Load != "not-found" || s.Stopped() != unit.Yes {
		t.Fatalf("after stop: %s", s)
	}
	for name, f := range map[string]func(context.Context, string) error{"Start": b.m.Start, "Restart": b.m.Restart, "Reload": b.m.Reload} {
		if err := f(within(t, 10*time.Second), b.unit); !errors.Is(err, unit.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
	b.stop(t)
}

func stopAutoRestart(t *testing.T, b *box) {
	b.install(t, "[Service]\nRestart=always\nRestartSec=600\nExecStart=/bin/false")
	b.node.sh(t, "systemctl start "+b.unit)
	s := b.await(t, "auto-restart", func(s unit.State) bool { return s.Sub == "auto-restart" })
	if s.Stopped() != unit.Unknown || s.Running() != unit.Unknown {
		t.Fatalf("%s is stopped %s, running %s", s, s.Stopped(), s.Running())
	}
	b.stop(t)
	if s := b.state(t); s.Stopped() != unit.Yes {
		t.Fatalf("after stop: %s", s)
	}
}

func startLimit(t *testing.T, b *box) {
	b.install(t, "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=600\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo >>/run/starts; test -e /run/may-start'")
	starts := b.node.sh(t, "rm -f /run/may-start /run/starts; for i in 1 2 3; do systemctl start "+b.unit+" || :; done; wc -l </run/starts")
	if starts != "2" {
		t.Fatalf("systemctl could start the unit %s times, the limit isn't hit", starts)
	}
	for range 4 {
		wantJobError(t, b.m.Start(within(t, 10*time.Second), b.unit), "start", "failed", "failed")
	}
	if n := b.node.sh(t, "wc -l </run/starts"); n != "6" {
		t.Fatalf("unit was really started %s times, want 6", n)
	}
	b.node.sh(t, "touch /run/may-start")
	for range 4 { // clean ends count, too
		b.start(t)
		b.stop(t)
	}
}

func restart(t *testing.T, b *box) {
	b.install(t, sleeper)
	var last string
	for range 3 { // the first time it is not running
		if err := b.m.Restart(within(t, 10*time.Second), b.unit); err != nil {
			t.Fatal(err)
		}
		s := b.state(t)
		if s.Running() != unit.Yes || s.InvocationID == last {
			t.Fatalf("after restart: %+v", s)
		}
		last = s.InvocationID
	}
}

func reload(t *testing.T, b *box) {
	b.install(t, sleeper+"\nExecReload=/bin/sh -c 'test ! -e /run/no-reload'")
	ctx := within(t, 10*time.Second)
	if err := b.m.Reload(ctx, b.unit); err == nil {
		t.Fatal("reload of a stopped unit succeeded")
	}
	b.start(t)
	if err := b.m.Reload(ctx, b.unit); err != nil {
		t.Fatal(err)
	}
	b.node.sh(t, "touch /run/no-reload")
	wantJobError(t, b.m.Reload(ctx, b.unit), "reload", "failed", "active")
	b.node.sh(t, "rm /run/no-reload")
	b.install(t, sleeper)
	if err := b.m.Reload(ctx, b.unit); err == nil || errors.Is(err, unit.ErrUnknown) {
		t.Fatalf("reload without ExecReload: %v", err)
	}
}

func processes(t *testing.T, b *box) {
	b.install(t, `[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'sleep 1000 & echo $$! >/run/pids; sleep 1000 & echo $$! >>/run/pids; echo $$$$ >>/run/pids; systemd-notify --ready; wait'`)
	ctx := within(t, 10*time.Second)
	if pids, err := b.m.Processes(ctx, b.unit); err != nil || len(pids) != 0 {
		t.Fatalf("before start: %v %v", pids, err)
	}
	b.start(t)
	var want []int
	for word := range strings.FieldsSeq(b.node.sh(t, "cat /run/pids")) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, pid)
	}
	slices.Sort(want)
	for { // the notifier is one of them until it has ended
		got, err := b.m.Processes(ctx, b.unit)
		diff := cmp.Diff(want, got)
		if diff == "" && err == nil {
			break
		}
		if err != nil || ctx.Err() != nil {
			t.Fatalf("processes: %v -want +got\n%s", err, diff)
		}
	}
	if pids, err := b.m.Processes(ctx, "no-such-unit"); err != nil || len(pids) != 0 {
		t.Fatalf("of no such unit: %v %v", pids, err)
	}
}

func killNothing(t *testing.T, b *box) {
	b.install(t, sleeper)
	for _, name := range []string{b.unit, "no-such-unit.service"} {
		if err := b.m.Kill(within(t, 10*time.Second), name, syscall.SIGKILL); err != nil {
			t.Errorf("kill: %v", err)
		}
		if err := b.m.ResetFailed(within(t, 10*time.Second), name); err != nil {
			t.Errorf("reset failed: %v", err)
		}
	}
}

func alias(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.node.sh(t, "ln -s "+b.unit+" /usr/lib/systemd/system/t-other-name.service; systemctl daemon-reload")
	t.Cleanup(func() { b.node.try("rm /usr/lib/systemd/system/t-other-name.service") })
	b2 := *b
	b2.unit = "t-other-name" // without its kind, too
	b2.start(t)
	if s := b2.state(t); s.Name != b.unit || s.Running() != unit.Yes || s.MainPID == 0 {
		t.Fatalf("by its other name: %+v", s)
	}
	pid := strconv.Itoa(b.state(t).MainPID)
	wait := later(t, func() error {
		b2.awaitActive(t, "failed")
		return nil
	})
	b.node.sh(t, "kill -9 "+pid)
	wait()
	b2.stop(t)
}

func kinds(t *testing.T, b *box) {
	for name, sub := range map[string]string{"basic.target": "active", "dbus.socket": "running", "-.mount": "mounted", "system.slice": "active", "systemd-tmpfiles-clean.timer": "waiting"} {
		s, err := b.m.State(within(t, 10*time.Second), name)
		if err != nil || s.Running() != unit.Yes || s.Name != name || s.Sub != sub {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	s, err := b.m.State(within(t, 10*time.Second), "no-such-unit")
	want := unit.State{Name: "no-such-unit.service", Load: "not-found", Active: "inactive", Sub: "dead", Result: "success"}
	if diff := cmp.Diff(want, s); diff != "" || err != nil || s.Stopped() != unit.Yes {
		t.Errorf("no such unit: %v -want +got\n%s", err, diff)
	}
	if err := b.m.Start(within(t, 10*time.Second), "no-such-unit"); !errors.Is(err, unit.ErrNotFound) {
		t.Errorf("start of no such unit: %v", err)
	}
}

func badNames(t *testing.T, b *box) {
	// None but systemd itself says what is a name: it must agree on each.
	for _, name := range []string{"", "@", "@x", "a@", "a/b", "a b", "ä", "x\ty", strings.Repeat("x", 248)} {
		s, err := b.m.State(within(t, 10*time.Second), name)
		if !errors.Is(err, unit.ErrNotFound) || s.Running() != unit.Unknown || s.Stopped() != unit.Unknown {
			t.Errorf("State(%q) = %+v, %v", name, s, err)
		}
		if out, err := b.node.try("busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager LoadUnit s '" + name + ".service'"); err == nil {
			t.Errorf("systemd takes %q: %s", name, out)
		}
	}
	for _, name := range []string{"a", "a@b@c", "a.service", `a\x2db`, "a:b-c_d.e", "9", "-", "..", strings.Repeat("x", 247)} {
		if s, err := b.m.State(within(t, 10*time.Second), name); err != nil || s.Name != strings.TrimSuffix(name, ".service")+".service" || s.Load != "not-found" {
			t.Errorf("State(%q) = %+v, %v", name, s, err)
		}
	}
	for _, name := range []string{"x\x00y", "\xff"} {
		if s, err := b.m.State(within(t, 10*time.Second), name); !errors.Is(err, unit.ErrNotFound) {
			t.Errorf("State(%q) = %+v, %v", name, s, err)
		}
	}
}

func reexecDuringStart(t *testing.T, b *box) {
	b.install(t, gated)
	wait := b.startLater(t)
	b.awaitActive(t, "activating")
	b.node.sh(t, "systemctl daemon-reexec")
	b.open(t)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func reexecDuringFailingStart(t *testing.T, b *box) {
	b.install(t, gated)
	wait := b.startLater(t)
	b.awaitActive(t, "activating")
	b.node.sh(t, "systemctl daemon-reexec; echo 5 >"+b.gate)
	var je *unit.JobError
	if err := wait(); !errors.As(err, &je) || je.State.Active != "failed" || je.State.MainStatus != 5 {
		t.Fatalf("got %v, want a failed unit with status 5", err)
	}
}

func busRestartDuringStop(t *testing.T, b *box) {
	b.install(t, slowStop)
	b.start(t)
	wait := b.stopLater(t)
	b.awaitActive(t, "deactivating")
	b.node.sh(t, "systemctl restart dbus")
	b.open(t)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func stopEndsWithoutBus(t *testing.T, b *box) {
	b.install(t, slowStop)
	b.start(t)
	wait := b.stopLater(t)
	b.awaitActive(t, "deactivating")
	b.node.sh(t, "systemctl stop dbus.socket dbus.service")
	b.open(t)
	b.node.sh(t, "while systemctl is-active "+b.unit+" | grep -q deactivating; do sleep 0.01; done; systemctl start dbus.socket dbus.service")
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func startWithoutBus(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.state(t) // so that there is a connection to lose
	// One script, which goes on as soon as it is told: the manager is patient for 2 s only.
	away := later(t, func() error {
		_, err := b.node.try("systemctl stop dbus.socket dbus.service; read x <" + b.gate + "; systemctl start dbus.socket dbus.service")
		return err
	})
	gate := b.hostGate(t) // opens when the bus is away
	wait := b.startLater(t)
	if _, err := gate.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(away(), wait()); err != nil {
		t.Fatal(err)
	}
	b.node.sh(t, "systemctl stop dbus.socket dbus.service")
	began := time.Now()
	s, err := b.m.State(t.Context(), b.unit)
	took := time.Since(began)
	b.node.sh(t, "systemctl start dbus.socket dbus.service")
	if !errors.Is(err, unit.ErrUnknown) || s.Running() != unit.Unknown || took > 5*time.Second {
		t.Fatalf("without a bus: %s, %v after %v", s, err, took)
	}
}

// A reexec or a bus restart is no reason for a monitor to fail.
func readsDuringUpheaval(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var reads atomic.Int32
	wait := later(t, func() error {
		for ctx.Err() == nil {
			s, err := b.m.State(within(t, 10*time.Second), b.unit)
			if err != nil || s.Running() != unit.Yes {
				return fmt.Errorf("read %d: %s, %w", reads.Load(), s, err)
			}
			reads.Add(1)
		}
		return nil
	})
	for i := 0; i < 3 || reads.Load() < 10 && i < 20; i++ {
		// Each act ends before the next one begins: together they would take longer than a manager is patient.
		b.node.sh(t, `answers() { until busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.DBus.Peer Ping; do sleep 0.01; done; }
			systemctl daemon-reexec; answers
			systemctl restart dbus; answers
			kill -s KILL $(systemctl show -P MainPID dbus); answers`)
	}
	cancel()
	if err := wait(); err != nil || reads.Load() < 10 {
		t.Fatalf("%v after %d reads", err, reads.Load())
	}
}

func busHangs(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	b.node.sh(t, "kill -s STOP $(systemctl show -P MainPID dbus)")
	defer b.node.sh(t, "kill -s CONT $(systemctl show -P MainPID dbus)")
	fresh := unit.New(b.node.address(t), nil)
	defer fresh.Close()
	for name, m := range map[string]*unit.Manager{"known": b.m, "fresh": fresh} {
		began := time.Now()
		_, err := m.State(within(t, 200*time.Millisecond), b.unit)
		if took := time.Since(began); !errors.Is(err, unit.ErrUnknown) || took > 2*time.Second {
			t.Errorf("%s connection: %v after %v", name, err, took)
		}
		if err := m.Stop(within(t, 200*time.Millisecond), b.unit); !errors.Is(err, unit.ErrUnknown) {
			t.Errorf("%s connection: stop: %v", name, err)
		}
	}
}

// watcher collects what a Watch sees.
type watcher struct {
	mu   sync.Mutex
	seen []unit.State
	news chan struct{}
}

func watchLater(t *testing.T, b *box) *watcher {
	w := &watcher{news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	wait := later(t, func() error {
		return b.m.Watch(ctx, b.unit, func(s unit.State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, s)
			select {
			case w.news <- struct{}{}:
			default:
			}
		})
	})
	t.Cleanup(func() {
		cancel()
		if err := wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return w
}

// await waits until the last state seen is so.
func (w *watcher) await(t *testing.T, what string, is func(unit.State) bool) unit.State {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		seen := slices.Clone(w.seen)
		w.mu.Unlock()
		if len(seen) > 0 && is(seen[len(seen)-1]) {
			return seen[len(seen)-1]
		}
		select {
		case <-w.news:
		case <-limit:
			t.Fatalf("never saw the unit %s, but %v", what, seen)
		}
	}
}

func isActive(s unit.State) bool { return s.Active == "active" && s.Job == "" }
func isFailed(s unit.State) bool { return s.Active == "failed" }

func watch(t *testing.T, b *box) {
	b.install(t, sleeper)
	w := watchLater(t, b)
	w.await(t, "inactive", func(s unit.State) bool { return s.Active == "inactive" })
	b.start(t)
	s := w.await(t, "active", isActive)
	b.node.sh(t, fmt.Sprintf("kill -9 %d", s.MainPID))
	s = w.await(t, "failed", isFailed)
	if s.Result != "signal" || s.MainCode != "killed" || s.MainStatus != 9 {
		t.Fatalf("killed unit is %s", s)
	}
	b.install(t, sleeper+"\nRestart=always\nRestartSec=0")
	b.start(t)
	s = w.await(t, "active", isActive)
	b.node.sh(t, fmt.Sprintf("kill -9 %d", s.MainPID))
	w.await(t, "active with another process", func(now unit.State) bool {
		return isActive(now) && now.MainPID != s.MainPID && now.InvocationID != s.InvocationID
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range len(w.seen) - 1 {
		if w.seen[i] == w.seen[i+1] {
			t.Errorf("state %d was told twice: %s", i, w.seen[i])
		}
	}
}

func watchBusRestart(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	w := watchLater(t, b)
	s := w.await(t, "active", isActive)
	b.node.sh(t, "systemctl restart dbus")
	b.node.sh(t, fmt.Sprintf("kill -9 %d", s.MainPID))
	w.await(t, "failed", isFailed)
	b.start(t)
	s = w.await(t, "active", isActive)
	b.node.sh(t, fmt.Sprintf("systemctl stop dbus.socket dbus.service; kill -9 %d", s.MainPID))
	w.await(t, "unknown", func(s unit.State) bool { return s == unit.State{Name: b.unit} })
	b.node.sh(t, "systemctl start dbus.socket dbus.service")
	w.await(t, "failed", isFailed)
}

func watchReexec(t *testing.T, b *box) {
	b.install(t, sleeper)
	b.start(t)
	w := watchLater(t, b)
	s := w.await(t, "active", isActive)
	for range 3 {
		b.node.sh(t, "systemctl daemon-reexec")
	}
	began := time.Now()
	b.node.sh(t, fmt.Sprintf("kill -9 %d", s.MainPID))
	w.await(t, "failed", isFailed)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("seen after %v: not by its signal, but by chance", took)
	}
}

func manyAtOnce(t *testing.T, b *box) {
	b.installAs(t, "t-many@.service", sleeper)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprintf("t-many@%d", i)
			for range 3 {
				if err := b.m.Start(within(t, 20*time.Second), name); err != nil {
					t.Error(err)
				}
				if err := b.m.Stop(within(t, 20*time.Second), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkStateFresh is what a monitor pays: connect, log in, read, close.
func BenchmarkStateFresh(b *testing.B) {
	n := newNode(b)
	for b.Loop() {
		m := unit.New(n.address(b), nil)
		if s, err := m.State(b.Context(), "dbus.service"); err != nil || s.Running() != unit.Yes {
			b.Fatal(s, err)
		}
		m.Close()
	}
}

// BenchmarkState is the same on a connection that stays open.
func BenchmarkState(b *testing.B) {
	m := unit.New(newNode(b).address(b), nil)
	defer m.Close()
	for b.Loop() {
		if _, err := m.State(b.Context(), "dbus.service"); err != nil {
			b.Fatal(err)
		}
	}
}
