// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// double is a device whose time is told to it.
type double struct {
	now, fed         time.Duration
	timeout          time.Duration
	rounds           time.Duration // its timeouts are multiples of it
	flags            uint32
	feedings         int
	stopped, left    bool
	failing          error
	beforeFeed       func()
	refusesToStopErr error
}

func (d *double) Support() (string, uint32, error) { return "double", d.flags, d.failing }

func (d *double) SetTimeout(want time.Duration) (time.Duration, error) {
	if d.rounds > 0 {
		want = (want + d.rounds - 1) / d.rounds * d.rounds
	}
	d.timeout, d.fed = want, d.now
	return want, d.failing
}

func (d *double) Left() (time.Duration, error) { return d.fed + d.timeout - d.now, d.failing }

func (d *double) Feed() error {
	if d.beforeFeed != nil {
		d.beforeFeed()
	}
	d.fed = d.now
	d.feedings++
	return d.failing
}

func (d *double) Stop() error  { d.stopped = true; return d.refusesToStopErr }
func (d *double) Leave() error { d.left = true; return nil }

func good() Terms { return Terms{Lease: 10 * s, Margin: 500 * ms, Interval: 200 * ms} }

func armed(t *testing.T, d *double, dev Device, terms Terms) *Guard {
	t.Helper()
	d.flags |= magicClose
	g, err := arm(dev, terms, func(string) (handle, error) { return d, nil }, inactive)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func inactive(string) (Device, error) { return Device{}, nil }

func TestArm(t *testing.T) {
	for _, tt := range []struct {
		name    string
		device  Device
		double  double
		terms   Terms
		want    error
		said    string
		opened  bool
		stopped bool
	}{
		{"asked for too long: not even opened", Device{}, double{}, Terms{Lease: 10 * s, Margin: 500 * ms, Interval: 200 * ms, Timeout: 60 * s}, ErrTerms, "its timeout may be 10s at most", false, false},
		{"cannot count so little: not even opened", Device{Min: 60 * s}, double{}, good(), ErrTerms, "others take over", false, false},
		{"cannot count so much", Device{Max: 3 * s}, double{}, Terms{Lease: 10 * s, Margin: 500 * ms, Interval: 200 * ms, Timeout: 5 * s}, ErrTerms, "3s at most", false, false},
		{"rounds up: disarmed", Device{}, double{flags: magicClose, rounds: 60 * s}, good(), ErrTerms, "asked for 10s and has taken 1m0s", true, true},
		{"rounds up and cannot be disarmed", Device{NoWayOut: true}, double{flags: magicClose, rounds: 60 * s}, good(), ErrNoWayOut, "reset in 1m0s unless it is fed", true, false},
		{"stops when its process dies, as the kernel says", Device{known: true, Stops: true}, double{}, good(), ErrStops, "", false, false},
		{"stops when its process dies, as the driver says", Device{}, double{}, good(), ErrStops, "nowayout=1", true, true},
		{"cannot be stopped at all", Device{NoWayOut: true}, double{}, good(), nil, "", true, false},
		{"fails", Device{}, double{failing: errors.ErrUnsupported}, good(), errors.ErrUnsupported, "", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opened := false
			_, err := arm(tt.device, tt.terms, func(string) (handle, error) { opened = true; return &tt.double, nil }, inactive)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), tt.said) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.said)
			}
			if opened != tt.opened || tt.double.stopped != tt.stopped {
				t.Errorf("opened %t, stopped %t; want %t, %t", opened, tt.double.stopped, tt.opened, tt.stopped)
			}
		})
	}
}

func TestFeedOnlyWhileItIsSafe(t *testing.T) {
	d := &double{}
	g := armed(t, d, Device{}, good())
	if g.Timeout() != 10*s || d.feedings != 1 {
		t.Fatalf("timeout %s, fed %d times", g.Timeout(), d.feedings)
	}
	for _, tt := range []struct {
		left time.Duration
		fed  bool
	}{{Forever, true}, {10*s + Lateness, true}, {10*s + Lateness - 1, false}, {0, false}, {-time.Hour, false}} {
		before := d.feedings
		fed, err := g.Feed(func() time.Duration { return tt.left })
		if fed != tt.fed || err != nil || (d.feedings > before) != tt.fed {
			t.Errorf("%s left: fed %t, %d times, %v", tt.left, fed, d.feedings-before, err)
		}
	}
}

// A process that is stopped between the question and the feeding would else give a node
// that has lost everything another timeout.
func TestFeedThatCameLateIsTakenBack(t *testing.T) {
	d := &double{}
	g := armed(t, d, Device{}, good())
	end := 10*s + 500*ms
	d.beforeFeed = func() { d.now += 6 * s }
	fed, err := g.Feed(func() time.Duration { return end - d.now })
	if fed || err != nil {
		t.Fatalf("fed %t, %v", fed, err)
	}
	if bites := d.fed + d.timeout; bites+Lateness > end {
		t.Errorf("it acts at %s, the lease is over at %s", bites, end)
	}
	// Nothing is fed, and later all is as before.
	d.beforeFeed = nil
	if fed, err := g.Feed(func() time.Duration { return end - d.now }); fed || err != nil || d.timeout != 4*s {
		t.Errorf("fed %t, %v, timeout %s", fed, err, d.timeout)
	}
	if fed, err := g.Feed(func() time.Duration { return Forever }); !fed || err != nil || d.timeout != 10*s {
		t.Errorf("afterwards: fed %t, %v, timeout %s", fed, err, d.timeout)
	}
}

func TestDisarm(t *testing.T) {
	d := &double{}
	g := armed(t, d, Device{}, good())
	if err := g.disarm(inactive); err != nil || !d.stopped {
		t.Errorf("got %v, stopped %t", err, d.stopped)
	}
	if fed, err := g.Feed(func() time.Duration { return Forever }); fed || !errors.Is(err, ErrOver) {
		t.Errorf("fed %t afterwards, %v", fed, err)
	}
	if err := g.disarm(inactive); err != nil {
		t.Errorf("again: %v", err)
	}

	g = armed(t, &double{}, Device{}, good())
	if err := g.disarm(func(string) (Device, error) { return Device{Active: true}, nil }); !errors.Is(err, ErrNoWayOut) {
		t.Errorf("one that runs on: got %v", err)
	}
	d = &double{}
	g = armed(t, d, Device{NoWayOut: true, Max: 600 * s}, good())
	if err := g.disarm(inactive); !errors.Is(err, ErrNoWayOut) || !strings.Contains(err.Error(), "10m0s") || d.stopped || !d.left || d.timeout != 600*s {
		t.Errorf("one without a way out: got %v, %+v", err, d)
	}
}

func TestFailureIsTold(t *testing.T) {
	d := &double{}
	g := armed(t, d, Device{Path: "/dev/watchdog7"}, good())
	d.failing = errors.ErrUnsupported
	if fed, err := g.Feed(func() time.Duration { return Forever }); fed || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "/dev/watchdog7") {
		t.Errorf("fed %t, %v", fed, err)
	}
	if _, ok := g.Left(); ok {
		t.Error("it knows what is left")
	}
}
