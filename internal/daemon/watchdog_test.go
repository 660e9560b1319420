// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/fencing/watchdog"
	"github.com/mailha/mailha/resources"
)

func TestCalm(t *testing.T) {
	for _, tt := range []struct{ lease, margin, want time.Duration }{
		{10 * time.Second, 500 * time.Millisecond, 8 * time.Second},
		{3 * time.Second, 500 * time.Millisecond, 2 * time.Second},
		{2 * time.Second, 300 * time.Millisecond, time.Second},
		{time.Minute, 5 * time.Second, 54 * time.Second},
	} {
		c := &resources.Cluster{Lease: tt.lease, Margin: tt.margin}
		got := calm(c)
		if got != tt.want {
			t.Errorf("lease %s, margin %s: %s, want %s", tt.lease, tt.margin, got, tt.want)
		}
		if err := watchdog.Fits(tt.lease, tt.margin, got, feedEach); err != nil {
			t.Error(err)
		}
	}
	c := &resources.Cluster{Lease: time.Minute, Margin: time.Second}
	if got := terms(c, watchdog.Device{Max: 20 * time.Second}).Timeout; got != 20*time.Second {
		t.Errorf("a device that can 20 s is asked for %s", got)
	}
	c.Watchdog.Timeout = 30 * time.Second
	if got := terms(c, watchdog.Device{Max: 20 * time.Second}).Timeout; got != 30*time.Second {
		t.Errorf("what was configured is %s", got)
	}
}

// What becomes of a node without a watchdog: it owns nothing, or goes on.
func TestArmed(t *testing.T) {
	dirty := errors.New("p_mta was left here")
	idle := watchdog.Device{Path: "/dev/watchdog0"}
	runs := watchdog.Device{Path: "/dev/watchdog0", Active: true}
	for _, tt := range []struct {
		name    string
		mode    resources.WatchdogMode
		witness bool
		device  *watchdog.Device
		held    bool
		left    error
		opened  bool   // it was tried to arm it, which fails here
		err     string // of the daemon; empty: it goes on
		says    string
	}{
		{name: "off", mode: resources.WatchdogOff, device: &idle},
		{name: "a witness owns nothing", mode: resources.WatchdogRequired, witness: true},
		{name: "none", mode: resources.WatchdogAuto, says: "level=INFO"},
		{name: "none, required", mode: resources.WatchdogRequired, err: "no watchdog device"},
		{name: "it fails", mode: resources.WatchdogAuto, device: &idle, opened: true, says: "level=WARN"},
		{name: "it fails, required", mode: resources.WatchdogRequired, device: &idle, opened: true, err: "it does not fit"},
		{name: "something is left", mode: resources.WatchdogAuto, device: &idle, left: dirty, says: "p_mta was left here"},
		{name: "something is left, required", mode: resources.WatchdogRequired, device: &idle, left: dirty, err: "p_mta was left here"},
		{name: "something is left, and a device runs that nobody has", mode: resources.WatchdogAuto, device: &runs, left: dirty, err: "may not be fed"},
		{name: "something is left, and somebody else's device runs", mode: resources.WatchdogAuto, device: &runs, held: true, left: dirty, says: "level=WARN"},
		{name: "a device was left running on a bare node", mode: resources.WatchdogAuto, device: &runs, opened: true, says: "level=WARN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said bytes.Buffer
			opened := false
			k := kennel{
				find: func() ([]watchdog.Device, error) {
					if tt.device == nil {
						return nil, watchdog.ErrNoDevice
					}
					return []watchdog.Device{*tt.device}, nil
				},
				holders: func(string) ([]watchdog.Holder, error) {
					if tt.held {
						return []watchdog.Holder{{PID: 1, Name: "systemd"}}, nil
					}
					return nil, nil
				},
				arm: func(watchdog.Device, watchdog.Terms) (*watchdog.Guard, error) {
					opened = true
					return nil, errors.New("it does not fit")
				},
			}
			c := &resources.Cluster{Lease: 10 * time.Second, Margin: time.Second, Watchdog: resources.Watchdog{Mode: tt.mode}}
			h, err := k.armed(t.Context(), c, resources.Node{Witness: tt.witness}, func(context.Context) error { return tt.left }, slog.New(slog.NewTextHandler(&said, nil)))
			if opened != tt.opened {
				t.Errorf("opened: %v", opened)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said.String(), tt.says) || tt.says == "" && said.Len() > 0 {
				t.Errorf("said %q, want %q", said.String(), tt.says)
			}
			h.alive()
			h.end()
		})
	}
}

func TestLoopThatHangs(t *testing.T) {
	h := &hound{hang: 10 * time.Second, acts: 8 * time.Second}
	if got := h.left(); got != watchdog.Forever {
		t.Errorf("before the loop runs: %s", got)
	}
	safe := watchdog.Forever
	h.follow(func() time.Duration { return safe }, func(error) {})
	if got := h.left(); got > 18250*time.Millisecond || got < 16*time.Second {
		t.Errorf("a loop that goes round: %s", got)
	}
	h.round.Store(int64(h.clock.Now().Add(-11 * time.Second)))
	if got := h.left(); got >= h.acts+watchdog.Lateness {
		t.Errorf("a loop that hangs for longer than a lease: %s, and it is fed", got)
	}
	h.alive()
	if safe = 3 * time.Second; h.left() != safe {
		t.Errorf("the lease ends: %s", h.left())
	}
}
