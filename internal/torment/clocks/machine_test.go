// SPDX-License-Identifier: Apache-2.0

//go:build machines

package clocks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const (
	guarded = config + `
[watchdog]
mode = "required"
`
	// Only the device is to act, and not systemd's watchdog.
	alone = "[Service]\nWatchdogSec=0\n"
)

// A mailhad that stands still while its node has a group costs the node, before another
// one takes over. One that is restarted or killed does not.
func TestMachineIsReset(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	source, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Up(ctx, "hound", source, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.tell())
		}
		_ = s.Down() // nobody looks into the machine any more, as it was reset
	})
	m := s.machine()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do := func(argv ...string) string {
		t.Helper()
		out, err := m.Output(ctx, argv...)
		must(err)
		return strings.TrimSpace(out)
	}
	do("modprobe", "i6300esb")
	must(m.Push("/etc/mailha/mailha.toml", []byte(guarded), 0o644))
	must(m.Push("/etc/systemd/system/mailhad.service.d/alone.conf", []byte(alone), 0o644))
	do("systemctl", "daemon-reload")
	boot := do("cat", "/proc/sys/kernel/random/boot_id")
	state := func(want string) {
		t.Helper()
		if got := do("cat", "/sys/class/watchdog/watchdog0/state"); got != want {
			t.Fatalf("the device is %s, want %s", got, want)
		}
	}
	do("systemctl", "restart", "mailhad")
	must(s.settled(ctx, nil))
	state("active")
	do("systemctl", "stop", "mailhad")
	state("inactive")
	do("systemctl", "start", "mailhad")
	must(s.place(ctx, m))
	do("systemctl", "kill", "--signal=KILL", "mailhad")
	must(wait(ctx, lease+2*margin))
	must(s.settled(ctx, nil))
	state("active")
	if now := do("cat", "/proc/sys/kernel/random/boot_id"); now != boot {
		t.Fatal("the machine was reset by a restart, or when mailhad was killed")
	}
	t.Log(do("journalctl", "-u", "mailhad", "--no-pager", "--grep", "watchdog"))

	must(s.place(ctx, m))
	took := s.freeze(ctx, t, m)
	began := time.Now().Add(-took)
	must(s.untilTaken(ctx, began))
	first := time.Time{}
	for _, thing := range s.things() {
		for _, n := range s.containers() {
			if at, _, ok := s.judge.Times(thing, n.Name(), began); ok && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	t.Logf("reset %.2f s after mailhad stood still, taken over after %.2f s", took.Seconds(), first.Sub(began).Seconds())
	switch {
	case first.IsZero():
		t.Error("nobody has taken over")
	case first.Before(began.Add(took)):
		t.Error("taken over before the machine was reset")
	}
}

// freeze has mailhad stand still, and says after what time the machine was reset.
func (s *Stage) freeze(ctx context.Context, t *testing.T, m *lab.Node) time.Duration {
	t.Helper()
	monitor, err := m.Monitor(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	at := time.Now()
	if _, err := m.Output(ctx, "systemctl", "kill", "--signal=STOP", "mailhad"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*lease)
	defer cancel()
	e, err := monitor.Await(ctx, "WATCHDOG", "RESET")
	if err != nil {
		t.Fatalf("it was not reset: %v", err)
	}
	return e.At.Sub(at)
}
