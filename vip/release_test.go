// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestRelease(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*host, *Set)
		cfg     Config // of the Set that releases
		warns   int
	}{
		{"as taken", func(h *host, s *Set) { h.mustTake(s) }, Config{}, 0},
		{"nothing held", func(h *host, s *Set) {}, Config{}, 0},
		{"a part held", func(h *host, s *Set) { h.mustTake(s); h.delAddr("eth0", vip4+"/32") }, Config{}, 0},
		{"another interface configured", func(h *host, s *Set) { h.mustTake(s) }, Config{Interface: "eth9"}, 0},
		{"not ours", func(h *host, s *Set) { h.addAddr("eth0", vip4+"/32"); h.addAddr("eth0", vip6+"/64") }, Config{}, 2},
		{"several copies", func(h *host, s *Set) {
			h.mustTake(s)
			h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
			for _, p := range []string{vip4 + "/24", vip4 + "/16", vip4 + "/32", vip6 + "/128"} {
				h.addAddr("eth1", p)
			}
			h.addAddr("lo", vip4+"/32")
			h.addAddr("eth0", vip4+"/24")
		}, Config{}, 6},
		{"interface deleted", func(h *host, s *Set) {
			h.mustTake(s)
			h.do(func() {
				l, err := netlink.LinkByName("eth0")
				h.lab.must(err)
				h.lab.must(netlink.LinkDel(l))
			})
		}, Config{Interface: "eth0"}, 0},
		{"set down", func(h *host, s *Set) {
			h.mustTake(s)
			h.do(func() {
				l, err := netlink.LinkByName("eth0")
				h.lab.must(err)
				h.lab.must(netlink.LinkSetDown(l))
			})
		}, Config{}, 0},
		{"host routes left over", func(h *host, s *Set) {
			h.do(func() {
				l, err := netlink.LinkByName("eth0")
				h.lab.must(err)
				for _, r := range []netlink.Route{
					{Dst: fromPrefix(netip.MustParsePrefix(vip4 + "/32")), Protocol: unix.RTPROT_KERNEL},
					{Dst: fromPrefix(netip.MustParsePrefix(vip6 + "/128")), Protocol: unix.RTPROT_KERNEL},
					{Dst: fromPrefix(netip.MustParsePrefix(vip4 + "/32")), Protocol: unix.RTPROT_KERNEL, Table: unix.RT_TABLE_LOCAL,
						Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST},
				} {
					r.LinkIndex = l.Attrs().Index
					h.lab.must(netlink.RouteAdd(&r))
				}
			})
			if len(h.hostRoutes()) != 3 {
				h.lab.t.Fatalf("the routes to remove are not there: %v", h.hostRoutes())
			}
		}, Config{}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, 1)
			h := l.hosts[0]
			s, _ := h.set(Config{Interface: "eth0"}, vip4+"/32", vip6+"/128")
			tc.prepare(h, s)
			r, log := h.set(tc.cfg, vip4+"/32", vip6+"/128")
			for range 2 {
				if err := h.release(r); err != nil {
					t.Fatalf("Release() = %v", err)
				}
				if got := append(h.find(vip4), h.find(vip6)...); len(got) != 0 {
					t.Errorf("left: %+v", got)
				}
			}
			if got := h.hostRoutes(); len(got) != 0 {
				t.Errorf("routes left: %v", got)
			}
			if got := h.tables(); len(got) != 0 {
				t.Errorf("tables left: %v", got)
			}
			if log.count("level=WARN") != tc.warns {
				t.Errorf("want %d warnings, got %s", tc.warns, log.b.String())
			}
			h.do(func() {
				if owned, err := Owned(t.Context()); err != nil || len(owned) != 0 {
					t.Errorf("Owned() = %v, %v", owned, err)
				}
			})
		})
	}
}

// hostRoutes are the routes to the test's addresses in all tables.
func (h *host) hostRoutes() (found []string) {
	h.lab.t.Helper()
	h.do(func() {
		list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		h.lab.must(err)
		for _, r := range list {
			if p, ok := toPrefix(r.Dst); ok && p.IsSingleIP() && (p.Addr() == a4 || p.Addr() == a6) {
				found = append(found, r.String())
			}
		}
	})
	return found
}

// A route that an administrator made for the address stays.
func TestReleaseKeepsForeignRoutes(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.do(func() {
		l.must(netlink.RouteAdd(&netlink.Route{Dst: fromPrefix(netip.MustParsePrefix(vip4 + "/32")), Gw: net.ParseIP("192.0.2.9")}))
	})
	s, _ := h.set(Config{}, vip4+"/32")
	l.must(h.release(s))
	if got := h.hostRoutes(); len(got) != 1 {
		t.Errorf("routes: %v", got)
	}
}

// Removing the first address of a subnet makes the kernel remove the others (promote_secondaries=0). They
// are not ours to take along.
func TestReleaseKeepsTheSubnet(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.sysctl("net/ipv4/conf/all/promote_secondaries", "0")
	h.sysctl("net/ipv4/conf/eth0/promote_secondaries", "0")
	h.delAddr("eth0", "192.0.2.1/24")
	s, log := h.set(Config{Interface: "eth0", PrefixRoute: true}, vip4+"/24")
	h.mustTake(s)
	h.addAddr("eth0", "192.0.2.1/24")
	h.addAddr("eth0", "192.0.2.11/24")
	l.must(h.release(s))
	if got := h.allAddrs(); !slices.Contains(got, "192.0.2.1/24") || !slices.Contains(got, "192.0.2.11/24") || slices.Contains(got, vip4+"/24") {
		t.Errorf("left: %v", got)
	}
	if log.count("put back") != 2 {
		t.Errorf("log: %s", log.b.String())
	}
}

func TestReleaseWithContextDone(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	s, _ := h.set(Config{}, vip4+"/32")
	h.mustTake(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.do(func() { s.Release(ctx) })
	if len(h.find(vip4)) != 0 {
		t.Error("the address must go first, whatever ctx says")
	}
}

// If the address can't be removed, Release must not say it was.
func TestReleaseNeverLies(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	s, _ := h.set(Config{}, vip4+"/32", vip6+"/128")
	h.mustTake(s)
	h.elsewhere(func() {
		l.must(dropNetAdmin())
		err := s.Release(t.Context())
		if !errors.Is(err, ErrNotReleased) || !strings.Contains(err.Error(), vip4) || !strings.Contains(err.Error(), vip6) {
			t.Errorf("Release() = %v, want ErrNotReleased for both", err)
		}
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("Release() = %v does not say why", err)
		}
	})
	if r := h.check(s); r.Err() != nil {
		t.Errorf("Check: %v", r.Err())
	}
}

func TestReleaseSaysNothing(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	c := other.capture()
	l.must(us.release(s))
	frames := c.upTo(us)
	if got := append(about(frames, vip4), about(frames, vip6)...); len(got) != 0 {
		t.Errorf("sent % x", got)
	}
}

func TestReleaseEndsConnections(t *testing.T) {
	for _, vip := range []string{vip4, vip6} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			us, client := l.hosts[0], l.hosts[1]
			a := netip.MustParseAddr(vip)
			s, _ := us.set(Config{}, netip.PrefixFrom(a, a.BitLen()).String())
			us.mustTake(s)
			srv := us.listen("tcp", ":0") // also IPv4-mapped
			kept := client.dial(srv.at("192.0.2.1"))
			keptServer := srv.accept()
			client.dial(srv.at(vip))
			server := srv.accept()
			l.must(us.release(s))
			if err := readEnds(server); !errors.Is(err, syscall.ECONNABORTED) {
				t.Errorf("the server's read ended with %v, want ECONNABORTED", err)
			}
			us.do(func() {
				list, err := sockets(t.Context(), bound, []netip.Addr{a}, nil)
				if err != nil || len(list) != 0 {
					t.Errorf("sockets left: %v, %v", list, err)
				}
			})
			echo(t, kept, keptServer)
		})
	}
}

// server accepts TCP connections in the host's namespace.
type server struct {
	host *host
	l    net.Listener
}

func (h *host) listen(network, addr string) *server {
	h.lab.t.Helper()
	s := &server{host: h}
	h.do(func() {
		var err error
		lc := net.ListenConfig{}
		lc.SetMultipathTCP(false)
		s.l, err = lc.Listen(h.lab.t.Context(), network, addr)
		h.lab.must(err)
	})
	h.lab.t.Cleanup(func() { s.l.Close() })
	return s
}

func (s *server) port() uint16 { return uint16(s.l.Addr().(*net.TCPAddr).Port) }

func (s *server) at(addr string) string {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), s.port()).String()
}

func (s *server) accept() net.Conn {
	s.host.lab.t.Helper()
	s.l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := s.l.Accept()
	s.host.lab.must(err)
	s.host.lab.t.Cleanup(func() { c.Close() })
	return c
}

func (h *host) tryDial(addr string, timeout time.Duration) (c net.Conn, err error) {
	h.lab.t.Helper()
	h.do(func() { c, err = net.DialTimeout("tcp", addr, timeout) })
	if err == nil {
		h.lab.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func (h *host) dial(addr string) net.Conn {
	h.lab.t.Helper()
	c, err := h.tryDial(addr, patience)
	h.lab.must(err)
	return c
}

func readEnds(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.Read(make([]byte, 1))
	return err
}

// echo proves that a connection works both ways.
func echo(t *testing.T, a, b net.Conn) {
	t.Helper()
	for range 2 {
		a.SetDeadline(time.Now().Add(patience))
		b.SetDeadline(time.Now().Add(patience))
		if _, err := a.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		a, b = b, a
	}
}

// A thousand addresses of others that come and go meanwhile keep nobody from knowing
// which are here.
func TestListsWhileAddressesChange(t *testing.T) {
	l := newLab(t, 1)
	us := l.hosts[0]
	const crowd = 1000
	change := func(link netlink.Link, i int, f func(netlink.Link, *netlink.Addr) error) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)
		if err := f(link, &netlink.Addr{IPNet: fromPrefix(p)}); err != nil {
			t.Error(err)
		}
	}
	us.do(func() {
		link, err := netlink.LinkByName("eth0")
		l.must(err)
		for i := range crowd {
			change(link, i, netlink.AddrAdd)
		}
	})
	busy := make(chan struct{})
	go us.elsewhere(func() {
		defer close(busy)
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Error(err)
			return
		}
		const lasts = 500 * time.Millisecond
		for end, i := time.Now().Add(lasts), 0; time.Now().Before(end); i++ {
			change(link, i%crowd, netlink.AddrDel)
			change(link, i%crowd, netlink.AddrAdd)
		}
	})
	us.do(func() {
		for done := false; !done; {
			select {
			case <-busy:
				done = true
			default:
			}
			if _, err := Owned(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What another resource releases at the same time does not come back.
func TestReleaseBesideAnother(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	const other = "192.0.2.11"
	one, _ := h.set(Config{Interface: "eth0"}, vip4+"/24")
	two, _ := h.set(Config{Interface: "eth0"}, other+"/24")
	h.mustTake(one)
	h.mustTake(two)
	h.do(func() {
		k, err := openKernel(t.Context())
		l.must(err)
		defer k.Close()
		before, err := k.addresses()
		l.must(err)
		l.must(two.Release(t.Context()))
		after, err := k.addresses()
		l.must(err)
		one.restore(k, before, after)
	})
	if len(h.find(other)) != 0 {
		t.Error("an address that was released is back")
	}
	l.must(h.release(one))
}
