// SPDX-License-Identifier: Apache-2.0

//go:build machines

package watchdog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/fencing/watchdog"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// guardMode has this program be a guard in a machine: with a device, and for how long its
// lease is renewed; "forever" is for ever.
const guardMode = "MAILHA_TEST_GUARD"

const timeout = 3 * time.Second

func terms() watchdog.Terms {
	return watchdog.Terms{Lease: 4 * time.Second, Margin: 500 * time.Millisecond, Timeout: timeout, Interval: 200 * time.Millisecond}
}

func TestMain(m *testing.M) {
	if device := os.Getenv(guardMode); device != "" {
		if err := guard(device, os.Args[1]); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// guard arms the device and feeds it until its input ends, and disarms it then.
func guard(device, renewed string) error {
	d, err := watchdog.Look(device)
	if err != nil {
		return err
	}
	g, err := watchdog.Arm(d, terms())
	if err != nil {
		return err
	}
	fmt.Println("armed", g.Device(), g.Timeout())
	safe := func() time.Duration { return watchdog.Forever }
	if renewed != "forever" {
		span, err := time.ParseDuration(renewed)
		if err != nil {
			return err
		}
		end := time.Now().Add(span + terms().Lease + terms().Margin) // of the last renewal
		safe = func() time.Duration { return time.Until(end) }
	}
	over := make(chan struct{})
	go func() { defer close(over); _, _ = io.Copy(io.Discard, os.Stdin) }()
	tick := time.NewTicker(terms().Interval)
	defer tick.Stop()
	for last := true; ; {
		fed, err := g.Feed(safe)
		if err != nil {
			return err
		}
		if last && !fed {
			fmt.Println("starved")
		}
		last = fed
		select {
		case <-over:
			if err := g.Disarm(); err != nil {
				return err
			}
			fmt.Println("disarmed")
			return nil
		case <-tick.C:
		}
	}
}

// bench is a machine with its monitor.
type bench struct {
	*testing.T
	ctx context.Context
	m   *lab.Node
}

// subject is a guard that runs in the machine.
type subject struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func (b bench) start(device, renewed string) *subject {
	b.Helper()
	cmd, err := b.m.Command(b.ctx, "/root/guard", renewed)
	if err != nil {
		b.Fatal(err)
	}
	cmd.Env = append(cmd.Env, guardMode+"="+device)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return &subject{cmd, in, bufio.NewScanner(out)}
}

// says waits for a line that begins so.
func (b bench) says(s *subject, want string) string {
	b.Helper()
	for s.lines.Scan() {
		if strings.HasPrefix(s.lines.Text(), want) {
			return s.lines.Text()
		}
		if strings.HasPrefix(s.lines.Text(), "failed") {
			break
		}
	}
	b.Fatalf("it did not say %q but %q", want, s.lines.Text())
	return ""
}

func (b bench) output(argv ...string) string {
	b.Helper()
	out, err := b.m.Output(b.ctx, argv...)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// ready waits until the machine has booted, and loads a driver.
func (b bench) ready(driver string) {
	b.Helper()
	if err := b.m.Booted(b.ctx); err != nil {
		b.Fatal(err)
	}
	b.output("modprobe", driver)
}

// reset waits for the machine to be reset, and returns when.
func (b bench) reset(within time.Duration, do func()) time.Time {
	b.Helper()
	monitor, err := b.m.Monitor(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer monitor.Close()
	do()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	// Emulated hardware tells when it acts; a timer of the kernel's resets by itself.
	e, err := monitor.Await(ctx, "WATCHDOG", "RESET")
	if err != nil {
		b.Fatalf("it was not reset: %v", err)
	}
	return e.At
}

// late is what a busy host may add: it emulates the machine, its timers and its monitor.
const late = 3 * time.Second

// A node that cannot let go is reset by its device, whatever has kept it from letting go.
func TestDevices(t *testing.T) {
	l := labtest.Up(t, lab.Config{Machines: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	m := l.Nodes()[0]
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push("/root/guard", program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"i6300esb", "softdog"} {
		t.Run(driver, func(t *testing.T) { tryDriver(bench{t, ctx, m}, driver) })
	}
}

func tryDriver(b bench, driver string) {
	const device = "/dev/watchdog0"
	b.ready(driver)

	// Fed, it lets the machine live for longer than its timeout, and nobody else has it.
	s := b.start(device, "forever")
	b.Log(b.says(s, "armed"))
	second := b.start(device, "forever")
	if said := b.says(second, "failed"); !strings.Contains(said, watchdog.ErrBusy.Error()) || !strings.Contains(said, "held by guard (process ") {
		b.Errorf("somebody else: %s", said)
	}
	boot := b.output("cat", "/proc/sys/kernel/random/boot_id")
	time.Sleep(2 * timeout)
	// Disarmed, too.
	s.in.Close()
	b.says(s, "disarmed")
	time.Sleep(2 * timeout)
	if now := b.output("cat", "/proc/sys/kernel/random/boot_id"); now != boot {
		b.Fatal("the machine was reset while it was fed, or after it was disarmed")
	}
	if state := b.output("cat", "/sys/class/watchdog/watchdog0/state"); state != "inactive" {
		b.Errorf("state %s after it was disarmed", state)
	}

	for _, tt := range []struct{ name, signal string }{
		{"the process stands still", "STOP"},
		{"the process is killed", "KILL"},
	} {
		s := b.start(device, "forever")
		b.says(s, "armed")
		var at time.Time
		ended := b.reset(timeout+late, func() {
			b.output("pkill", "-"+tt.signal, "-x", "guard")
			at = time.Now()
		})
		took := ended.Sub(at)
		b.Logf("%s: reset %.2f s after it, with a timeout of %s", tt.name, took.Seconds(), timeout)
		if took < timeout-terms().Interval-late || took > timeout+watchdog.Lateness+late {
			b.Errorf("%s: reset after %s", tt.name, took)
		}
		_ = s.cmd.Cancel()
		b.ready(driver)
	}

	// The lease is lost, and what is held is not let go: 1 s after the arming the last
	// renewal was sent.
	s = b.start(device, "1s")
	b.says(s, "armed")
	armed := time.Now()
	var starved time.Time
	ended := b.reset(time.Second+terms().Lease+terms().Margin+late, func() {
		b.says(s, "starved")
		starved = time.Now()
	})
	b.Logf("a lost lease: starved after %.2f s, reset after %.2f s", starved.Sub(armed).Seconds(), ended.Sub(armed).Seconds())
	renewal := armed.Add(time.Second)
	if ended.After(renewal.Add(terms().Lease + terms().Margin + late)) {
		b.Error("reset too late: others have taken over")
	}
	if ended.Before(renewal.Add(terms().Lease - terms().Margin - late)) {
		b.Error("reset while the lease was good")
	}
	_ = s.cmd.Cancel()
	if err := b.m.Booted(b.ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
}
