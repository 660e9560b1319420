// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// busy is what a machine with other work may add.
const busy = 2 * time.Second

func (h *host) extend(valid time.Duration) {
	h.lab.t.Helper()
	var err error
	h.do(func() { err = Extend(h.lab.t.Context(), valid) })
	h.lab.must(err)
}

// gone waits until the kernel has removed all of the addresses, and says how long that took.
func (h *host) gone(within time.Duration, addrs ...string) time.Duration {
	h.lab.t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left := 0
		for _, a := range addrs {
			left += len(h.find(a))
		}
		if left == 0 {
			return time.Since(began)
		}
		if time.Since(began) > within {
			h.lab.t.Fatalf("%d of %q are still there after %s", left, addrs, within)
		}
		<-tick.C
	}
}

// Whoever extends and then stands still loses the addresses, and nobody else does.
func TestExtendRunsOut(t *testing.T) {
	l := newLab(t, 1)
	us := l.hosts[0]
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	us.addAddr("eth0", "192.0.2.77/32") // somebody else's
	for range 4 {                       // each a new beginning
		us.extend(2 * time.Second)
		if r := us.check(s); r.Err() != nil {
			t.Fatalf("after Extend: %v", r.Err())
		}
	}
	took := us.gone(2*time.Second+Lateness+busy, vip4, vip6)
	t.Logf("gone after %s", took)
	if took < time.Second {
		t.Errorf("gone after %s, before its time", took)
	}
	if len(us.find("192.0.2.77")) != 1 {
		t.Error("the address of somebody else went as well")
	}
	us.extend(5 * time.Second)
	if len(us.find(vip4))+len(us.find(vip6)) != 0 {
		t.Error("Extend brought back what was gone")
	}
}

// All but the lifetime stays.
func TestExtendChangesNothingElse(t *testing.T) {
	l := newLab(t, 1)
	us := l.hosts[0]
	for _, cfg := range []Config{{Owner: "plain", Interface: "eth0"}, {Owner: "all", Interface: "eth0", Label: "eth0:mail", Source: true, PrefixRoute: true}} {
		s, _ := us.set(cfg, "192.0.2.101/28", "2001:db8:1::101/80")
		us.mustTake(s)
		for _, text := range []string{"192.0.2.101", "2001:db8:1::101"} {
			a := netip.MustParseAddr(text)
			before := us.seen(a)
			us.extend(9 * time.Second)
			after := us.seen(a)
			if after.ValidLft < 7 || after.ValidLft > 9 {
				t.Errorf("%s: %s is valid for %d s, want 9", cfg.Owner, a, after.ValidLft)
			}
			if want := map[bool]int{true: 0, false: after.ValidLft}[a.Is6() && !cfg.Source]; after.PreferedLft != want {
				t.Errorf("%s: %s is preferred for %d s, want %d", cfg.Owner, a, after.PreferedLft, want)
			}
			const kept = ^unix.IFA_F_PERMANENT
			if before.Flags&kept != after.Flags&kept || before.Label != after.Label || before.IPNet.String() != after.IPNet.String() ||
				before.Broadcast.String() != after.Broadcast.String() || before.Scope != after.Scope {
				t.Errorf("%s: %+v became %+v", cfg.Owner, before, after)
			}
			if list := us.find(text); len(list) != 1 || !list[0].tagged {
				t.Errorf("%s: %s is there as %+v", cfg.Owner, a, list)
			}
		}
		l.must(us.release(s))
	}
}

// An address that is released while Extend is at work must not come back.
func TestExtendBringsNothingBack(t *testing.T) {
	l := newLab(t, 1)
	us := l.hosts[0]
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	us.do(func() {
		k, err := openKernel(t.Context())
		l.must(err)
		defer k.Close()
		addrs, err := k.addresses()
		l.must(err)
		l.must(s.Release(t.Context()))
		for _, a := range addrs {
			if a.tagged {
				if err := k.Do(unix.RTM_NEWADDR, unix.NLM_F_REPLACE, extended(a, time.Minute)); err == nil {
					t.Errorf("%s: extended, though it was gone", a.prefix)
				}
			}
		}
	})
	if n := len(us.find(vip4)) + len(us.find(vip6)); n != 0 {
		t.Errorf("%d addresses are back", n)
	}
}

// From the first moment an address has no longer than it may be held.
func TestTakeForATime(t *testing.T) {
	l := newLab(t, 1)
	us := l.hosts[0]
	for _, tt := range []struct {
		valid time.Duration
		want  int
	}{{7900 * time.Millisecond, 7}, {900 * time.Millisecond, 1}, {-time.Second, 1}} {
		s, _ := us.set(Config{Valid: func() time.Duration { return tt.valid }}, vip4+"/32", vip6+"/128")
		us.mustTake(s)
		for _, a := range []string{vip4, vip6} {
			var got netlink.Addr = us.seen(netip.MustParseAddr(a))
			if got.ValidLft > tt.want || got.ValidLft < tt.want-1 {
				t.Errorf("%s: %s was taken for %d s, want %d", tt.valid, a, got.ValidLft, tt.want)
			}
		}
		us.extend(0) // too little to say
		for _, a := range []string{vip4, vip6} {
			if got := us.seen(netip.MustParseAddr(a)); got.ValidLft > tt.want {
				t.Errorf("%s: nothing more was granted, and %s has %d s", tt.valid, a, got.ValidLft)
			}
		}
		l.must(us.release(s))
	}
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	us.extend(0)
	us.gone(time.Second+Lateness+busy, vip4, vip6)
}
