// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	vip4 = "192.0.2.100"
	vip6 = "2001:db8::100"
)

func TestTakeInstallsAsAsked(t *testing.T) {
	for _, tc := range []struct {
		name      string
		cfg       Config
		addr      string
		flags     int // of these: deprecated, nodad, noprefixroute
		preferred int
		label     string
		broadcast net.IP
	}{
		{"IPv4", Config{}, vip4 + "/32", unix.IFA_F_NOPREFIXROUTE, math.MaxUint32, "eth0", nil},
		{"IPv4 label", Config{Label: "eth0:mail"}, vip4 + "/32", unix.IFA_F_NOPREFIXROUTE, math.MaxUint32, "eth0:mail", nil},
		{"IPv4 subnet", Config{PrefixRoute: true}, vip4 + "/24", 0, math.MaxUint32, "eth0", net.IPv4(192, 0, 2, 255)},
		{"IPv6", Config{Label: "eth0:mail"}, vip6 + "/128", unix.IFA_F_DEPRECATED | unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE, 0, "", nil},
		{"IPv6 source", Config{Source: true}, vip6 + "/128", unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE, math.MaxUint32, "", nil},
	} {
		for _, ifname := range []string{"", "eth0"} {
			t.Run(tc.name+" "+ifname, func(t *testing.T) {
				l := newLab(t, 1)
				h := l.hosts[0]
				tc.cfg.Interface = ifname
				s, _ := h.set(tc.cfg, tc.addr)
				h.mustTake(s)
				p := netip.MustParsePrefix(tc.addr)
				got := h.find(p.Addr().String())
				if len(got) != 1 {
					t.Fatalf("%d copies of the address, want 1", len(got))
				}
				a := got[0]
				const mask = unix.IFA_F_DEPRECATED | unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_TENTATIVE
				b := h.seen(p.Addr())
				if a.prefix != p || !a.tagged || a.flags&mask != tc.flags || b.PreferedLft != tc.preferred ||
					b.ValidLft != math.MaxUint32 || b.Label != tc.label || !b.Broadcast.Equal(tc.broadcast) {
					t.Errorf("installed as %+v, %+v", a, b)
				}
				h.do(func() {
					owned, err := Owned(t.Context())
					if err != nil || !slices.Equal(owned, []Holding{{p, "eth0"}}) {
						t.Errorf("Owned() = %v, %v", owned, err)
					}
				})
				h.mustTake(s)
				if again := h.find(p.Addr().String()); len(again) != 1 {
					t.Errorf("%d copies after taking twice", len(again))
				}
				if err := h.check(s).Err(); err != nil {
					t.Errorf("Check: %v", err)
				}
			})
		}
	}
}

func TestTakeFindsTheHolder(t *testing.T) {
	for _, vip := range []string{vip4 + "/32", vip6 + "/128"} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			us, rival := l.hosts[0], l.hosts[1]
			rival.addAddr("eth0", vip)
			addr := netip.MustParsePrefix(vip).Addr()
			// The other address is free, and must not stay behind.
			s, _ := us.set(Config{}, "192.0.2.101/32", vip, "2001:db8::101/128")
			err := us.take(s)
			var conflict *ConflictError
			if !errors.Is(err, ErrConflict) || !errors.As(err, &conflict) {
				t.Fatalf("Take() = %v, want a ConflictError", err)
			}
			if conflict.Addr != addr || conflict.Interface != "eth0" || !slices.Equal(conflict.MAC, rival.mac) || conflict.Probing {
				t.Errorf("got %+v", conflict)
			}
			if !strings.Contains(err.Error(), rival.mac.String()) {
				t.Errorf("%q does not name the other host", err)
			}
			for _, a := range []string{"192.0.2.101", addr.String(), "2001:db8::101"} {
				if got := us.find(a); len(got) != 0 {
					t.Errorf("%s was left behind", a)
				}
			}
			// Taking without asking works, and so does taking what we hold already.
			force, _ := us.set(Config{Probe: ProbeConfig{Off: true}}, vip)
			us.mustTake(force)
			if err := us.take(s); !errors.Is(err, ErrConflict) {
				t.Errorf("Take() while both hold = %v, want ErrConflict", err)
			}
			if got := us.find(addr.String()); len(got) != 1 {
				t.Error("the address that was held before must stay after a failed Take")
			}
		})
	}
}

// Two hosts that ask at the same time must not both go on (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3).
func TestTakeAtTheSameTime(t *testing.T) {
	for _, vip := range []string{vip4 + "/32", vip6 + "/128"} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			errs := make([]error, 2)
			var wg sync.WaitGroup
			for i, h := range l.hosts {
				s, _ := h.set(Config{}, vip)
				wg.Go(func() { h.elsewhere(func() { errs[i] = s.Take(t.Context()) }) })
			}
			wg.Wait()
			held := 0
			for i, h := range l.hosts {
				held += len(h.find(netip.MustParsePrefix(vip).Addr().String()))
				if errs[i] != nil && !errors.Is(errs[i], ErrConflict) {
					t.Errorf("host %d: %v", i, errs[i])
				}
			}
			if held > 1 || errs[0] == nil && errs[1] == nil {
				t.Errorf("%d hosts have the address; errors %v", held, errs)
			}
		})
	}
}

func TestTakeHearsAnotherProbe(t *testing.T) {
	for _, vip := range []string{vip4, vip6} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			us, rival := l.hosts[0], l.hosts[1]
			a := netip.MustParseAddr(vip)
			s, _ := us.set(Config{Probe: ProbeConfig{Wait: time.Second}}, netip.PrefixFrom(a, a.BitLen()).String())
			probe, err := arpProbe(rival.mac, netip.MustParseAddr(vip4))
			if a.Is6() {
				probe, err = ndProbe(rival.mac, a)
			}
			l.must(err)
			c, out := rival.capture(), rival.socket(0)
			go func() { // as soon as we ask, the other one asks as well
				for f := range c.frames {
					if len(about([][]byte{f}, vip)) > 0 {
						out.WriteTo(probe, &packet.Addr{HardwareAddr: net.HardwareAddr(probe[:6])})
						return
					}
				}
			}()
			var conflict *ConflictError
			if err := us.take(s); !errors.As(err, &conflict) || !conflict.Probing || !slices.Equal(conflict.MAC, rival.mac) {
				t.Fatalf("Take() = %v, want a conflict with a probing host", err)
			}
			if got := us.find(vip); len(got) != 0 {
				t.Error("address added in spite of the conflict")
			}
		})
	}
}

// A network card passes only the multicast it was told to; those who probe for the address must be heard.
func TestTapJoinsTheGroup(t *testing.T) {
	l := newLab(t, 1)
	l.hosts[0].do(func() {
		joined := func() bool {
			b, err := os.ReadFile("/proc/thread-self/net/dev_mcast")
			l.must(err)
			return strings.Contains(string(b), "3333ff000100")
		}
		if joined() {
			t.Fatal("in the group before the tap was opened")
		}
		k, err := openKernel(t.Context())
		l.must(err)
		defer k.Close()
		ls, err := k.links()
		l.must(err)
		eth0, _ := ls.byName("eth0")
		tap, err := openTap(eth0, true, a6, a4)
		l.must(err)
		defer tap.conn.Close()
		if !joined() {
			t.Error("the tap is not in the group of the address it is for")
		}
	})
}

func TestTakeProbesOnTheWire(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	c := other.capture()
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	timed := func() time.Duration {
		start := time.Now()
		us.mustTake(s)
		return time.Since(start)
	}
	took := timed()
	frames := c.upTo(us)
	var arps, nds int
	for _, f := range about(frames, vip4) {
		h, ok := parseARP(f)
		if !ok || !h.probing || !slices.Equal(h.mac, us.mac) {
			t.Errorf("Take sent % x", f)
		}
		arps++
	}
	for _, f := range about(frames, vip6) {
		h, ok := parseND(f)
		if !ok || !h.probing || !slices.Equal(h.mac, us.mac) {
			t.Errorf("Take sent % x", f)
		}
		nds++
	}
	if arps != 3 || nds != 3 {
		t.Errorf("%d ARP probes and %d solicitations, want 3 and 3", arps, nds)
	}
	const most = 500 * time.Millisecond // 70 ms and the load of the machine, which may pass
	for try := 1; took > most && try < 5; try++ {
		l.must(us.release(s))
		took = timed()
	}
	if took > most {
		t.Errorf("Take took %s at best", took)
	}
}

// An interface without any IPv4 address of its own can hold one.
func TestTakeWithoutIPv4(t *testing.T) {
	l := newLab(t, 2)
	h := l.hosts[0]
	h.delAddr("eth0", "192.0.2.1/24")
	s, _ := h.set(Config{}, vip4+"/32")
	if err := h.take(s); !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("Take() = %v, want ErrNoInterface naming the interfaces that there are", err)
	}
	s, _ = h.set(Config{Interface: "eth0"}, vip4+"/32")
	h.mustTake(s)
	list, err := h.announce(s, Burst{})
	if err != nil || len(list) != 1 {
		t.Errorf("Announce() = %v, %v", list, err)
	}
	if err := h.check(s).Err(); err != nil {
		t.Error(err)
	}
}

func TestTakeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(h *host)
		cfg     Config
		addrs   []string
		want    error
		text    string // in the error
	}{
		{"no such interface", func(h *host) {}, Config{Interface: "eth7"}, []string{vip4 + "/32"}, ErrNoInterface, "eth0"},
		{"no route", func(h *host) {}, Config{}, []string{"198.51.100.1/32"}, ErrNoInterface, "eth0"},
		{"only the default route", func(h *host) { h.defaultRoute("192.0.2.254") }, Config{}, []string{"198.51.100.1/32"}, ErrNoInterface, "eth0"},
		{"loopback", func(h *host) {}, Config{Interface: "lo"}, []string{vip4 + "/32"}, ErrNotEthernet, "lo"},
		{"two in one subnet", func(h *host) {
			h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
			h.addAddr("eth1", "192.0.2.200/24")
		}, Config{}, []string{vip4 + "/32"}, ErrAmbiguous, "eth1"},
		{"set down", func(h *host) {
			h.do(func() {
				l, err := netlink.LinkByName("eth0")
				h.lab.must(err)
				h.lab.must(netlink.LinkSetDown(l))
			})
		}, Config{Interface: "eth0"}, []string{vip4 + "/32"}, ErrLinkDown, "eth0"},
		{"no carrier", func(h *host) { h.unplug() }, Config{}, []string{vip4 + "/32", vip6 + "/128"}, ErrLinkDown, "eth0"},
		{"on another interface", func(h *host) {
			h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
			h.addAddr("eth1", vip4+"/32")
		}, Config{Interface: "eth0"}, []string{"192.0.2.101/32", vip4 + "/32"}, ErrWrongInterface, "eth1"},
		{"with another prefix length", func(h *host) { h.addAddr("eth0", vip4+"/24") },
			Config{}, []string{"192.0.2.101/32", vip4 + "/32"}, ErrWrongPrefix, vip4 + "/24"},
		{"IPv6 disabled", func(h *host) { h.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1") },
			Config{Interface: "eth0"}, []string{vip4 + "/32", vip6 + "/128"}, unix.EACCES, "disable_ipv6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, 1)
			h := l.hosts[0]
			tc.prepare(h)
			before := h.allAddrs()
			s, _ := h.set(tc.cfg, tc.addrs...)
			err := h.take(s)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Take() = %v, want %v with %q", err, tc.want, tc.text)
			}
			if after := h.allAddrs(); !slices.Equal(after, before) {
				t.Errorf("Take left %v, before it there was %v", after, before)
			}
		})
	}
}

func (h *host) defaultRoute(gw string) {
	h.lab.t.Helper()
	h.do(func() { h.lab.must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gw)})) })
}

func (h *host) allAddrs() (all []string) {
	h.lab.t.Helper()
	h.do(func() {
		k, err := openKernel(h.lab.t.Context())
		h.lab.must(err)
		defer k.Close()
		list, err := k.addresses()
		h.lab.must(err)
		for _, a := range list {
			if !a.prefix.Addr().IsLinkLocalUnicast() {
				all = append(all, a.prefix.String())
			}
		}
	})
	slices.Sort(all)
	return all
}

// The most specific connected route decides, not the first one.
func TestTakeMostSpecificRoute(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
	h.addAddr("eth1", "192.0.0.1/16")
	s, _ := h.set(Config{}, vip4+"/32", "192.0.77.7/32")
	h.mustTake(s)
	r := h.check(s)
	if r[0].Interface != "eth0" || r[1].Interface != "eth1" {
		t.Errorf("got %+v", r)
	}
}

// A second interface of ours in the same segment answers our own probes (Linux does, with arp_ignore=0).
// That is no conflict.
func TestTakeOwnSecondInterface(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
	h.addAddr("eth1", "192.0.2.200/24")
	s, _ := h.set(Config{Interface: "eth0"}, vip4+"/32", vip6+"/128")
	h.mustTake(s)
	h.mustTake(s)
	for range 20 {
		if err := h.check(s).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// What belongs to a VLAN on top of the interface is another segment.
func TestTakeIgnoresVLANs(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{}, vip4+"/32")
	c, out := other.capture(), other.socket(0)
	answered := make(chan struct{})
	go func() {
		for f := range c.frames {
			if len(about([][]byte{f}, vip4)) == 0 {
				continue
			}
			reply, _, _ := arpAnnounce(other.mac, netip.MustParseAddr(vip4))
			tagged := slices.Concat(reply[:12], []byte{0x81, 0, 0, 7}, reply[12:])
			out.WriteTo(tagged, &packet.Addr{HardwareAddr: broadcast})
			close(answered)
			return
		}
	}()
	us.mustTake(s)
	select {
	case <-answered:
	case <-time.After(patience):
		t.Fatal("the claim in the VLAN was not sent")
	}
}

func TestTakeAdopts(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.addAddr("eth0", vip4+"/32")
	h.addAddr("eth0", vip6+"/128")
	s, log := h.set(Config{}, vip4+"/32", vip6+"/128")
	h.mustTake(s)
	for _, a := range []string{vip4, vip6} {
		if got := h.find(a); len(got) != 1 || !got[0].tagged {
			t.Errorf("%s: %+v, want one copy with our tag", a, got)
		}
	}
	if log.count("there already") != 2 {
		t.Error("no warning")
	}
	if got := h.find(vip6); got[0].flags&unix.IFA_F_DEPRECATED == 0 {
		t.Error("the adopted IPv6 address may still be chosen as source")
	}
}

func TestTakeRefusesDADFailed(t *testing.T) {
	l := newLab(t, 2)
	us, rival := l.hosts[0], l.hosts[1]
	rival.addAddr("eth0", vip6+"/128")
	us.failDAD(vip6)
	s, _ := us.set(Config{Probe: ProbeConfig{Off: true}}, vip6+"/128")
	if err := us.take(s); !errors.Is(err, ErrUnusable) {
		t.Errorf("Take() = %v, want ErrUnusable", err)
	}
	r := us.check(s)
	if r[0].State != DADFailed || !errors.Is(r.Err(), ErrUnusable) || r.Absent() {
		t.Errorf("Check() = %+v", r)
	}
	l.must(us.release(s))
	if got := us.find(vip6); len(got) != 0 {
		t.Error("the failed address is still there")
	}
}

// failDAD adds an address that another host has, and waits until the kernel knows.
func (h *host) failDAD(a string) {
	h.lab.t.Helper()
	h.sysctl("net/ipv6/conf/eth0/accept_dad", "1")
	h.do(func() {
		updates, done := make(chan netlink.AddrUpdate), make(chan struct{})
		defer close(done)
		h.lab.must(netlink.AddrSubscribe(updates, done))
		h.addAddrFlags("eth0", a+"/128", 0)
		late := time.After(patience)
		for {
			select {
			case u := <-updates:
				if u.LinkAddress.IP.Equal(net.ParseIP(a)) && u.Flags&unix.IFA_F_DADFAILED != 0 {
					go func() {
						for range updates {
						}
					}()
					return
				}
			case <-late:
				h.lab.t.Fatal("duplicate address detection does not fail")
			}
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	s, _ := h.set(Config{Probe: ProbeConfig{Wait: 2 * time.Second}}, vip4+"/32")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	h.do(func() {
		if err := s.Take(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Take() = %v", err)
		}
	})
	if len(h.find(vip4)) != 0 {
		t.Error("address added although there was no time to probe")
	}
}

func TestNewRefuses(t *testing.T) {
	good := netip.MustParsePrefix(vip4 + "/32")
	for name, cfg := range map[string]Config{
		"no owner":      {Addrs: []netip.Prefix{good}},
		"long owner":    {Owner: strings.Repeat("x", 65), Addrs: []netip.Prefix{good}},
		"no address":    {Owner: "x"},
		"twice":         {Owner: "x", Addrs: []netip.Prefix{good, netip.MustParsePrefix(vip4 + "/24")}},
		"zero prefix":   {Owner: "x", Addrs: []netip.Prefix{{}}},
		"label":         {Owner: "x", Addrs: []netip.Prefix{good}, Label: "0123456789abcdef"},
		"interface":     {Owner: "x", Addrs: []netip.Prefix{good}, Interface: "0123456789abcdef"},
		"gateway":       {Owner: "x", Addrs: []netip.Prefix{good}, Gateways: []netip.Addr{{}}},
		"gateway zone":  {Owner: "x", Addrs: []netip.Prefix{good}, Gateways: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}},
		"probes":        {Owner: "x", Addrs: []netip.Prefix{good}, Probe: ProbeConfig{Count: 11}},
		"negative wait": {Owner: "x", Addrs: []netip.Prefix{good}, Probe: ProbeConfig{Wait: -1}},
		"remember":      {Owner: "x", Addrs: []netip.Prefix{good}, Remember: -1},
		"many":          {Owner: "x", Addrs: manyAddrs(65)},
	} {
		if s, err := New(cfg, nil); err == nil {
			t.Errorf("%s: New accepted %+v", name, s.cfg)
		}
	}
	if _, err := New(Config{Owner: strings.Repeat("x", 64), Addrs: manyAddrs(64)}, nil); err != nil {
		t.Error(err)
	}
	c := ProbeConfig{}
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	if d := time.Duration(c.Count-1)*c.Interval + c.Wait; d > 100*time.Millisecond {
		t.Errorf("the probe takes %s by default, promised are at most 100 ms", d)
	}
}

func manyAddrs(n int) []netip.Prefix {
	var list []netip.Prefix
	a := netip.MustParseAddr("10.0.0.1")
	for range n {
		list = append(list, netip.PrefixFrom(a, 32))
		a = a.Next()
	}
	return list
}
