// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestAnnounceOnTheWire(t *testing.T) {
	l := newLab(t, 3)
	us, gw, other := l.hosts[0], l.hosts[1], l.hosts[2]
	s, _ := us.set(Config{Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}},
		vip4+"/32", vip6+"/128")
	us.mustTake(s)
	c := other.capture()
	list, err := us.announce(s, Burst{Count: 2, Interval: time.Millisecond, Wait: patience})
	l.must(err)
	for i, want := range []Announcement{
		{netip.MustParseAddr(vip4), "eth0", us.mac, netip.MustParseAddr("192.0.2.2"), true},
		{netip.MustParseAddr(vip6), "eth0", us.mac, netip.MustParseAddr("2001:db8::2"), true},
	} {
		if got := list[i]; got.Addr != want.Addr || got.Interface != want.Interface || !slices.Equal(got.MAC, want.MAC) ||
			got.Gateway != want.Gateway || !got.Proved {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := gw.neighbour(vip4); !slices.Equal(got, us.mac) {
		t.Errorf("the gateway has %s at %s", vip4, got)
	}
	if got := gw.neighbour(vip6); !slices.Equal(got, us.mac) {
		t.Errorf("the gateway has %s at %s", vip6, got)
	}

	a4, a6 := netip.MustParseAddr(vip4), netip.MustParseAddr(vip6)
	var requests, replies, asks, adverts, solicits int
	frames := c.upTo(us)
	for _, f := range about(frames, vip4) {
		var p arp.Packet
		l.must(p.UnmarshalBinary(f[etherLen:]))
		if !bytes.Equal(f[:6], broadcast) || !bytes.Equal(f[6:12], us.mac) || !bytes.Equal(p.SenderHardwareAddr, us.mac) || p.SenderIP != a4 {
			t.Errorf("unexpected ARP packet % x", f)
		}
		switch {
		case p.Operation == arp.OperationRequest && p.TargetIP == a4:
			requests++
		case p.Operation == arp.OperationReply && p.TargetIP == a4 && bytes.Equal(p.TargetHardwareAddr, us.mac):
			replies++
		case p.Operation == arp.OperationRequest && p.TargetIP.String() == "192.0.2.2":
			asks++
		default:
			t.Errorf("unexpected ARP packet %+v", p)
		}
	}
	for _, f := range about(frames, vip6) {
		if f[21] != 255 {
			t.Errorf("hop limit %d, want 255", f[21])
		}
		src := netip.AddrFrom16([16]byte(f[22:]))
		m, err := ndp.ParseMessage(f[54:])
		l.must(err)
		switch m := m.(type) {
		case *ndp.NeighborAdvertisement:
			if !m.Override || m.Solicited || m.Router || m.TargetAddress != a6 || src != a6 || !linkLayer(m.Options, ndp.Target, us.mac) ||
				!bytes.Equal(f[:6], net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}) {
				t.Errorf("unexpected advertisement %+v from %s", m, src)
			}
			adverts++
		case *ndp.NeighborSolicitation: // reaches us only if the gateway's group is also ours, or is flooded
			if m.TargetAddress.String() == "2001:db8::2" && src == a6 && linkLayer(m.Options, ndp.Source, us.mac) {
				solicits++
			}
		}
	}
	if requests != 2 || replies != 2 || asks != 2 || adverts != 2 || solicits > 2 {
		t.Errorf("two rounds sent %d ARP requests, %d replies, %d questions, %d advertisements, %d solicitations",
			requests, replies, asks, adverts, solicits)
	}
}

func linkLayer(opts []ndp.Option, dir ndp.Direction, mac net.HardwareAddr) bool {
	return slices.ContainsFunc(opts, func(o ndp.Option) bool {
		l, ok := o.(*ndp.LinkLayerAddress)
		return ok && l.Direction == dir && bytes.Equal(l.Addr, mac)
	})
}

// A neighbour that believes the address to be where it was must learn better.
func TestAnnounceUpdatesNeighbours(t *testing.T) {
	for _, vip := range []string{vip4, vip6} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			us, other := l.hosts[0], l.hosts[1]
			other.believe(vip, net.HardwareAddr{2, 9, 9, 9, 9, 9})
			a := netip.MustParseAddr(vip)
			s, _ := us.set(Config{}, netip.PrefixFrom(a, a.BitLen()).String())
			us.mustTake(s)
			if got := other.neighbour(vip); !slices.Equal(got, net.HardwareAddr{2, 9, 9, 9, 9, 9}) {
				t.Fatalf("taking already changed the neighbour's table to %s", got)
			}
			list, err := us.announce(s, Burst{})
			l.must(err)
			if list[0].Gateway.IsValid() || list[0].Proved {
				t.Errorf("proof without a gateway: %+v", list[0])
			}
			other.capture().upTo(us)
			if got := other.neighbour(vip); !slices.Equal(got, us.mac) {
				t.Errorf("the neighbour believes %s to be at %s, not %s", vip, got, us.mac)
			}
		})
	}
}

func TestAnnounceDefaultGateway(t *testing.T) {
	l := newLab(t, 2)
	us, gw := l.hosts[0], l.hosts[1]
	us.defaultRoute("192.0.2.2")
	us.defaultRoute("2001:db8::2")
	us.do(func() { // a worse one, and one elsewhere
		l.must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("192.0.2.77"), Priority: 500}))
	})
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	list, err := us.announce(s, Burst{Wait: patience})
	l.must(err)
	if list[0].Gateway.String() != "192.0.2.2" || list[1].Gateway.String() != "2001:db8::2" || !list[0].Proved || !list[1].Proved {
		t.Errorf("got %+v", list)
	}
	gw.unplug()
	list, err = us.announce(s, Burst{Wait: time.Millisecond})
	l.must(err)
	if list[0].Proved || list[1].Proved || !list[0].Gateway.IsValid() {
		t.Errorf("proved by a gateway that is off: %+v", list)
	}
}

// An answer of somebody else, and a question of the gateway's address by us, prove nothing.
func TestAnnounceProofIsTheGateways(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	gw := netip.MustParseAddr("192.0.2.77") // not there
	s, _ := us.set(Config{Gateways: []netip.Addr{gw}}, vip4+"/32")
	us.mustTake(s)
	c, out := other.capture(), other.socket(0)
	answered := make(chan struct{})
	go func() {
		for f := range c.frames {
			if len(about([][]byte{f}, gw.String())) == 0 {
				continue
			}
			for _, from := range []string{"192.0.2.2", vip4} {
				b, _ := arpFrame(arp.OperationReply, other.mac, netip.MustParseAddr(from), us.mac, a4)
				out.WriteTo(b, &packet.Addr{HardwareAddr: broadcast})
			}
			b, _ := arpFrame(arp.OperationReply, other.mac, gw, us.mac, netip.MustParseAddr("192.0.2.1"))
			out.WriteTo(b, &packet.Addr{HardwareAddr: broadcast})
			close(answered)
			return
		}
	}()
	list, err := us.announce(s, Burst{Wait: 300 * time.Millisecond})
	l.must(err)
	<-answered
	if list[0].Gateway != gw || list[0].Proved {
		t.Errorf("got %+v", list[0])
	}
}

func TestAnnounceOnlyWhatIsHeld(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	c := other.capture()
	us.sysctl("net/ipv6/conf/eth0/accept_dad", "1")
	us.sysctl("net/ipv6/conf/eth0/dad_transmits", "100")
	us.addAddrFlags("eth0", "2001:db8::101/128", 0) // tentative for 100 s
	us.addAddr("eth0", "192.0.2.102/24")            // not as it should be
	before := len(about(c.upTo(us), "2001:db8::101"))
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128", "2001:db8::101/128", "192.0.2.102/32")
	list, err := us.announce(s, Burst{Count: 3, Interval: time.Millisecond})
	if !errors.Is(err, ErrNotHeld) || !errors.Is(err, ErrUnusable) || !errors.Is(err, ErrWrongPrefix) || len(list) != 0 {
		t.Errorf("Announce() = %v, %v", list, err)
	}
	frames := c.upTo(us)
	for _, a := range []string{vip4, vip6, "192.0.2.102"} {
		if got := about(frames, a); len(got) > 0 {
			t.Errorf("%s was announced: % x", a, got[0])
		}
	}
	for _, f := range about(frames, "2001:db8::101") { // the kernel's own probes may be there
		if h, ok := parseND(f); !ok || !h.probing {
			t.Errorf("a tentative address was announced: % x", f)
		}
	}
	if r := us.check(s); r[2].State != Tentative || r[0].State != Missing || r[3].State != WrongPrefix {
		t.Errorf("Check() = %+v (%d probes of the kernel before)", r, before)
	}

	// One that is held is announced in spite of the others.
	us.addAddr("eth0", vip4+"/32")
	list, err = us.announce(s, Burst{})
	if !errors.Is(err, ErrNotHeld) || len(list) != 1 || list[0].Addr.String() != vip4 {
		t.Errorf("Announce() = %v, %v", list, err)
	}
	if got := about(c.upTo(us), vip4); len(got) != 2 {
		t.Errorf("%d packets, want 2", len(got))
	}
}

// An address that is missing must not cost the others their rounds, nor their proof.
func TestAnnounceTheOthersFully(t *testing.T) {
	l := newLab(t, 3)
	us, other := l.hosts[0], l.hosts[2]
	s, _ := us.set(Config{Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}, vip4+"/32", "192.0.2.101/32")
	us.mustTake(s)
	us.delAddr("eth0", "192.0.2.101/32")
	c := other.capture()
	list, err := us.announce(s, Burst{Count: 3, Interval: time.Millisecond, Wait: patience})
	if !errors.Is(err, ErrNotHeld) || len(list) != 1 || !list[0].Proved {
		t.Errorf("Announce() = %+v, %v", list, err)
	}
	if got := len(about(c.upTo(us), vip4)); got != 9 {
		t.Errorf("%d ARP packets, want 9 in three rounds", got)
	}
}

// An address that is released while its announcement waits for its turn must not be announced any more.
func TestAnnounceNotAfterRelease(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{Probe: ProbeConfig{Off: true}}, vip4+"/32", "192.0.2.101/32")
	us.mustTake(s)
	us.do(func() {
		eth0, err := net.InterfaceByName("eth0")
		l.must(err)
		s.pace.note(eth0.Index, paceBudget-3, time.Now().Add(2*time.Second)) // enough for one of them, and time to act
	})
	c := other.capture()
	failed := make(chan error, 1)
	go us.elsewhere(func() {
		_, err := s.Announce(t.Context(), Burst{})
		failed <- err
	})
	for f := range c.frames { // the first has gone out, the second waits
		if len(about([][]byte{f}, vip4)) > 0 {
			break
		}
	}
	us.delAddr("eth0", "192.0.2.101/32")
	if err := <-failed; !errors.Is(err, ErrNotHeld) {
		t.Errorf("Announce() = %v, want ErrNotHeld", err)
	}
	if got := about(c.upTo(us), "192.0.2.101"); len(got) != 0 {
		t.Errorf("announced after it was released: % x", got[0])
	}
}

func TestAnnounceAfterMACChange(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	_, err := us.announce(s, Burst{})
	l.must(err)
	mac := us.changeMAC()
	list, err := us.announce(s, Burst{})
	l.must(err)
	if !slices.Equal(list[0].MAC, mac) || !slices.Equal(list[1].MAC, mac) {
		t.Errorf("announced %+v, want %s", list, mac)
	}
	if r := us.check(s); r.Err() != nil || !slices.Equal(r[0].MAC, mac) {
		t.Errorf("Check() = %+v", r)
	}
	other.believe(vip4, us.mac)
	_, err = us.announce(s, Burst{})
	l.must(err)
	us.mac = mac
	other.capture().upTo(us)
	if got := other.neighbour(vip4); !slices.Equal(got, mac) {
		t.Errorf("the neighbour has the old MAC, %s", got)
	}
}

func (h *host) changeMAC() net.HardwareAddr {
	h.lab.t.Helper()
	mac := net.HardwareAddr{2, 7, 7, 7, 7, byte(h.n)}
	h.do(func() {
		l, err := netlink.LinkByName("eth0")
		h.lab.must(err)
		h.lab.must(netlink.LinkSetHardwareAddr(l, mac))
	})
	return mac
}

func TestAnnounceAsRouter(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	us.sysctl("net/ipv6/conf/eth0/forwarding", "1")
	s, _ := us.set(Config{}, vip6+"/128")
	us.mustTake(s)
	c := other.capture()
	_, err := us.announce(s, Burst{})
	l.must(err)
	frames := about(c.upTo(us), vip6)
	if len(frames) != 1 {
		t.Fatalf("%d frames, want 1", len(frames))
	}
	m, err := ndp.ParseMessage(frames[0][54:])
	l.must(err)
	if na, ok := m.(*ndp.NeighborAdvertisement); !ok || !na.Router {
		t.Errorf("a router's advertisement must say so: %+v", m)
	}
}

// A port that lets 15 ARP packets a second through must stay open: no window of a second may see more
// than the budget of this Set's packets, those of the probe included.
func TestAnnounceIsPaced(t *testing.T) {
	l := newLab(t, 2)
	us := l.hosts[0]
	us.defaultRoute("192.0.2.2")
	const most = 500 * time.Millisecond
	first := time.Hour // from the first probe to the first announcement, in the quickest of some tries
	for range 5 {
		s, _ := us.set(Config{}, "192.0.2.101/32", "192.0.2.102/32", "192.0.2.103/32")
		sent := stamps(us)
		us.mustTake(s)
		start := time.Now()
		_, err := us.announce(s, Burst{Count: 2, Interval: time.Millisecond})
		l.must(err)
		if d := time.Since(start); d < 500*time.Millisecond {
			t.Errorf("18 ARP packets within %s after 6 probes", d)
		}
		l.must(us.release(s))
		times := sent()
		if len(times) < 6+18 {
			t.Fatalf("%d ARP packets seen, want 24", len(times))
		}
		for i, at := range times {
			n := 0
			for _, b := range times[i:] {
				if b.Sub(at) < paceWindow-50*time.Millisecond { // the stamps' clock may be set meanwhile
					n++
				}
			}
			if n > paceBudget {
				t.Fatalf("%d ARP packets within a second", n)
			}
		}
		if first = min(first, times[6].Sub(times[0])); first <= most {
			return
		}
	}
	t.Errorf("the first announcement waited for %s", first)
}

// stamps returns a function that tells when h has sent ARP about the test's addresses since stamps was called. The
// kernel stamps what is sent, and queues it to the socket, while it is sent.
func stamps(h *host) func() []time.Time {
	h.lab.t.Helper()
	raw, err := h.socket(unix.ETH_P_ALL).SyscallConn()
	h.lab.must(err)
	h.lab.must(raw.Control(func(fd uintptr) {
		h.lab.must(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	}))
	read := func(want func(f []byte) bool) (times []time.Time) {
		h.lab.t.Helper()
		h.lab.must(raw.Control(func(fd uintptr) {
			b, oob := make([]byte, 2048), make([]byte, 128)
			for {
				n, size, _, _, err := unix.Recvmsg(int(fd), b, oob, unix.MSG_DONTWAIT)
				if err == unix.EAGAIN {
					return
				}
				h.lab.must(err)
				if bytes.Equal(b[6:12], h.mac) && want(b[:n]) {
					times = append(times, stampOf(h.lab, oob[:size]))
				}
			}
		}))
		return times
	}
	// The kernel begins to stamp a little later than it is told to. What has no stamp gets that of its reading.
	marker := func(f []byte) bool { return binary.BigEndian.Uint16(f[12:]) == etherMarker }
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		h.send(etherFrame(broadcast, h.mac, etherMarker, make([]byte, 46)), nil)
		sent := time.Now()
		if at := read(marker); len(at) == 1 && at[0].Before(sent) {
			break
		}
		select {
		case <-tick.C:
		case <-late:
			h.lab.t.Fatal("the kernel does not stamp what is sent")
		}
	}
	return func() []time.Time {
		h.lab.t.Helper()
		return read(func(f []byte) bool {
			return slices.ContainsFunc([]string{"192.0.2.101", "192.0.2.102", "192.0.2.103"}, func(a string) bool {
				return len(about([][]byte{f}, a)) > 0
			})
		})
	}
}

// stampOf is the time in the control messages of a packet.
func stampOf(l *lab, oob []byte) time.Time {
	l.t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	l.must(err)
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(sec), int64(nsec))
		}
	}
	l.t.Fatal("a packet without a time")
	return time.Time{}
}

func TestIsRouterWithoutIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Fatalf("a kernel with IPv6 is needed: %v", err)
	}
	if isRouter("no-such-interface") {
		t.Error("an interface that is not there forwards")
	}
}
