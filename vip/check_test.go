// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

func TestCheckStates(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	s, _ := h.set(Config{Interface: "eth0"}, vip4+"/32", vip6+"/128")
	if r := h.check(s); !r.Absent() || !errors.Is(r.Err(), ErrNotHeld) || len(r) != 2 {
		t.Errorf("nothing held: %+v", r)
	}
	h.mustTake(s)
	r := h.check(s)
	if r.Absent() || r.Err() != nil || r[0].State != Held || !r[0].Tagged || r[0].Interface != "eth0" || !slices.Equal(r[0].MAC, h.mac) ||
		r[0].Found.String() != vip4+"/32" || r[1].State != Held {
		t.Errorf("both held: %+v", r)
	}

	h.delAddr("eth0", vip4+"/32")
	if r = h.check(s); r.Absent() || r[0].State != Missing || r[1].State != Held || !errors.Is(r.Err(), ErrNotHeld) {
		t.Errorf("one removed by somebody: %+v", r)
	}
	h.mustTake(s)
	if r = h.check(s); r.Err() != nil {
		t.Errorf("taken again after a part was lost: %+v", r)
	}

	h.addAddr("eth0", vip4+"/24")
	if r = h.check(s); r[0].State != WrongPrefix || !errors.Is(r.Err(), ErrWrongPrefix) {
		t.Errorf("second copy with another prefix length: %+v", r)
	}
	h.delAddr("eth0", vip4+"/24")
	h.plug("eth1", net.HardwareAddr{2, 0, 0, 0, 1, 1})
	h.addAddr("eth1", vip4+"/32")
	if r = h.check(s); r[0].State != WrongInterface || r[0].Interface != "eth1" || !errors.Is(r.Err(), ErrWrongInterface) ||
		!strings.Contains(r.Err().Error(), "eth1") {
		t.Errorf("second copy on another interface: %+v", r)
	}
	anywhere, _ := h.set(Config{}, vip4+"/32")
	if r = h.check(anywhere); r[0].State != WrongInterface {
		t.Errorf("two copies, without an interface configured: %+v", r)
	}
	h.delAddr("eth1", vip4+"/32")

	h.unplug()
	if r = h.check(s); r[0].State != LinkDown || r[1].State != LinkDown || !errors.Is(r.Err(), ErrLinkDown) || r.Absent() {
		t.Errorf("no carrier: %+v", r)
	}
	gone, _ := h.set(Config{Interface: "eth9"}, vip4+"/32")
	if r = h.check(gone); r[0].State != WrongInterface {
		t.Errorf("on an interface other than the configured one, which is not there: %+v", r)
	}
}

func hasRival(i int, mac net.HardwareAddr) func(Report) bool {
	return func(r Report) bool {
		return slices.ContainsFunc(r[i].Rivals, func(x Rival) bool { return slices.Equal(x.MAC, mac) })
	}
}

// A host that has the address, too, and says nothing: it answers Check's probe.
func TestCheckFindsASilentRival(t *testing.T) {
	for i, vip := range []string{vip4, vip6} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t, 2)
			us, rival := l.hosts[0], l.hosts[1]
			s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
			us.mustTake(s)
			if r := us.check(s); r.Err() != nil {
				t.Fatalf("before the rival came: %v", r.Err())
			}
			p := netip.MustParseAddr(vip)
			rival.addAddr("eth0", netip.PrefixFrom(p, p.BitLen()).String())
			r := us.checkUntil(s, hasRival(i, rival.mac))
			if err := r.Err(); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), rival.mac.String()) {
				t.Errorf("Err() = %v", err)
			}
			if r[1-i].Err() != nil || r[i].State != Held {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// Claims made between two Checks are seen by the later one, whether as request, as reply, or as advertisement.
func TestCheckHearsOldClaims(t *testing.T) {
	l := newLab(t, 3)
	us, rival, other := l.hosts[0], l.hosts[1], l.hosts[2]
	s, _ := us.set(Config{Remember: 3 * time.Second}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	a4, a6 := netip.MustParseAddr(vip4), netip.MustParseAddr(vip6)
	request, reply, err := arpAnnounce(rival.mac, a4)
	l.must(err)
	third := net.HardwareAddr{2, 5, 5, 5, 5, 5}
	_, reply3, err := arpAnnounce(third, a4)
	l.must(err)
	for name, frame := range map[string][]byte{"request": request, "reply": reply} {
		sent := time.Now()
		rival.send(frame, nil)
		us.capture().upTo(rival)
		r := us.check(s)
		if len(r[0].Rivals) != 1 || !slices.Equal(r[0].Rivals[0].MAC, rival.mac) || len(r[1].Rivals) != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		const tick = 10 * time.Millisecond // in which the kernel counts, at most
		if d, most := r[0].Rivals[0].Heard, time.Since(sent)+tick; d > most {
			t.Errorf("%s: heard %s ago, sent %s ago", name, d, most)
		}
		us.checkUntil(s, func(r Report) bool { return r.Err() == nil }) // the claim is forgotten in time
	}
	rival.send(ndAnnounce(rival.mac, a6, false))
	rival.send(reply3, nil)
	rival.send(request, nil)
	us.capture().upTo(rival)
	if r := us.check(s); len(r[1].Rivals) != 1 || !slices.Equal(r[1].Rivals[0].MAC, rival.mac) || len(r[0].Rivals) != 2 {
		t.Errorf("several claims: %+v", r)
	}
	us.checkUntil(s, func(r Report) bool { return r.Err() == nil })

	// These are no claims: somebody else's address, a question, and who wants to know whether the address is free.
	other.send(arpAsk(other.mac, netip.MustParseAddr("192.0.2.3"), a4))
	other.send(arpProbe(other.mac, a4))
	other.send(ndProbe(other.mac, a6))
	other.send(ndAnnounce(other.mac, netip.MustParseAddr("2001:db8::3"), false))
	us.capture().upTo(other)
	if r := us.check(s); r.Err() != nil {
		t.Errorf("false alarm: %v", r.Err())
	}
}

// A live rival is not forgotten however long it lasts: each probe makes it speak again.
func TestCheckKeepsALiveRival(t *testing.T) {
	l := newLab(t, 2)
	us, rival := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{Remember: 2 * time.Second}, vip4+"/32")
	us.mustTake(s)
	rival.addAddr("eth0", vip4+"/32")
	us.checkUntil(s, hasRival(0, rival.mac))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 30 {
		<-tick.C
		r := us.check(s)
		if !hasRival(0, rival.mac)(r) {
			t.Fatal("a rival that is still there was forgotten")
		}
		if d := r[0].Rivals[0].Heard; d > time.Second {
			t.Fatalf("a rival that has just been asked was heard %s ago", d)
		}
	}
	rival.delAddr("eth0", vip4+"/32")
	us.checkUntil(s, func(r Report) bool { return r.Err() == nil })
}

// Each Check asks once for each address, and leaves nothing in the neighbour table, nor in anybody else's.
func TestCheckOnTheWire(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{Interface: "eth0"}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	us.believe(vip4, other.mac) // as after a takeover
	for _, own := range []string{"192.0.2.1", ""} {
		c := other.capture()
		if r := us.check(s); r.Err() != nil {
			t.Fatal(r.Err())
		}
		var frames [][]byte
		for _, f := range about(c.upTo(us), vip4) {
			if !bytes.Equal(f[:6], broadcast) {
				t.Errorf("sent to %s, want broadcast", net.HardwareAddr(f[:6]))
			}
			frames = append(frames, f)
		}
		if len(frames) != 1 {
			t.Fatalf("%d ARP packets, want 1", len(frames))
		}
		var p arp.Packet
		l.must(p.UnmarshalBinary(frames[0][etherLen:]))
		if p.Operation != arp.OperationRequest || p.TargetIP.String() != vip4 || own != "" && p.SenderIP.String() != own {
			t.Errorf("with own address %q: sent %+v", own, p)
		}
		if us.neighbour(vip4) != nil || us.neighbour(vip6) != nil {
			t.Error("entries left in the neighbour table")
		}
		if own != "" {
			us.delAddr("eth0", own+"/24")
		}
	}
}

// The solicitation goes to the group of the address; only a member sees it.
func TestCheckSolicitsOnTheWire(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{}, vip6+"/128")
	us.mustTake(s)
	c := other.capture()
	l.must(c.conn.JoinGroup(multicastMAC(solicitedNode(netip.MustParseAddr(vip6)))))
	us.check(s)
	frames := about(c.upTo(us), vip6)
	if len(frames) != 1 {
		t.Fatalf("%d packets, want 1", len(frames))
	}
	m, err := ndp.ParseMessage(frames[0][54:])
	l.must(err)
	if ns, ok := m.(*ndp.NeighborSolicitation); !ok || ns.TargetAddress.String() != vip6 {
		t.Errorf("sent %+v", m)
	}
}

func TestCheckAfterMACChange(t *testing.T) {
	l := newLab(t, 2)
	us := l.hosts[0]
	s, _ := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	mac := us.changeMAC()
	for range 20 {
		if r := us.check(s); r.Err() != nil || !slices.Equal(r[0].MAC, mac) {
			t.Fatalf("got %+v", r)
		}
	}
	// Its own old address is a foreign one now.
	l.hosts[1].send(arpFrame(2, us.mac, netip.MustParseAddr(vip4), us.mac, netip.MustParseAddr(vip4)))
	us.checkUntil(s, hasRival(0, us.mac))
}

// "nft flush ruleset", which a firewall's reload may do, must not blind the watch for long.
func TestCheckReinstallsTheWatch(t *testing.T) {
	l := newLab(t, 2)
	us, rival := l.hosts[0], l.hosts[1]
	s, log := us.set(Config{}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	us.do(func() {
		c, err := nftables.New()
		l.must(err)
		c.FlushRuleset()
		l.must(c.Flush())
	})
	if err := us.check(s).Err(); err != nil {
		t.Error(err)
	}
	if log.count("installing it again") != 1 {
		t.Error("nothing in the log")
	}
	l.must(func() error { rival.send(ndAnnounce(rival.mac, netip.MustParseAddr(vip6), false)); return nil }())
	us.checkUntil(s, hasRival(1, rival.mac))
	if log.count("installing it again") != 1 {
		t.Error("installed more than once")
	}
}

// Without the right to use nf_tables, Check waits a moment for answers itself.
func TestCheckWithoutNFTables(t *testing.T) {
	l := newLab(t, 2)
	us, rival := l.hosts[0], l.hosts[1]
	s, log := us.set(Config{Listen: 50 * time.Millisecond}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	rival.addAddr("eth0", vip4+"/32")
	rival.addAddr("eth0", vip6+"/128")
	us.elsewhere(func() {
		l.must(dropNetAdmin())
		end := time.Now().Add(patience) // the rival joins its IPv6 group when it likes
		for {
			r, err := s.Check(t.Context())
			if err != nil || time.Now().After(end) {
				t.Errorf("got %+v, %v", r, err)
				return
			}
			if hasRival(0, rival.mac)(r) && hasRival(1, rival.mac)(r) {
				return
			}
		}
	})
	if log.count("no claims watch") != 1 {
		t.Errorf("want one warning, log is %s", log.b.String())
	}
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread, which must be locked and left to die.
func dropNetAdmin() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	return unix.Capset(&hdr, &data[0])
}

func TestCheckSeesOnlyItsOwnNamespace(t *testing.T) {
	l := newLab(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	s, _ := a.set(Config{}, vip4+"/32")
	a.mustTake(s)
	if r := b.check(s); !r.Absent() {
		t.Errorf("%+v", r)
	}
}

func TestWatchIsBoundedAndGoesAway(t *testing.T) {
	l := newLab(t, 2)
	us, rival := l.hosts[0], l.hosts[1]
	s, _ := us.set(Config{}, vip4+"/32")
	us.mustTake(s)
	for i := range 3 * maxClaims { // a flood of forged claims
		mac := net.HardwareAddr{2, 6, 6, 6, byte(i >> 8), byte(i)}
		rival.send(arpFrame(2, mac, netip.MustParseAddr(vip4), mac, netip.MustParseAddr(vip4)))
	}
	us.capture().upTo(rival)
	if n := len(us.check(s)[0].Rivals); n == 0 || n > maxClaims {
		t.Errorf("%d rivals, want 1 to %d", n, maxClaims)
	}
	l.must(us.release(s))
	if got := us.tables(); len(got) != 0 {
		t.Errorf("tables left: %v", got)
	}
}

func (h *host) tables() (names []string) {
	h.lab.t.Helper()
	h.do(func() {
		c, err := nftables.New()
		h.lab.must(err)
		list, err := c.ListTables()
		h.lab.must(err)
		for _, t := range list {
			names = append(names, t.Name)
		}
	})
	return names
}

func BenchmarkCheck(b *testing.B) {
	l := newLab(b, 2)
	h := l.hosts[0]
	s, err := New(Config{Owner: "bench", Addrs: []netip.Prefix{netip.MustParsePrefix(vip4 + "/32")}}, nil)
	l.must(err)
	h.do(func() {
		l.must(s.Take(b.Context()))
		for b.Loop() {
			if _, err := s.Check(b.Context()); err != nil {
				b.Fatal(err)
			}
			s.pace = pacer{rate: s.cfg.ARPRate} // a process that checks once has no past
		}
	})
	runtime.KeepAlive(l)
}

func BenchmarkCheckAbsent(b *testing.B) {
	l := newLab(b, 1)
	s, err := New(Config{Owner: "bench", Addrs: []netip.Prefix{netip.MustParsePrefix(vip4 + "/32")}}, nil)
	l.must(err)
	l.hosts[0].do(func() {
		for b.Loop() {
			if _, err := s.Check(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
