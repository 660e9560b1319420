// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/nstest"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of vip make network namespaces: run them as root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen.
const patience = 5 * time.Second

// lab is a switch with hosts on it, each in its own network namespace, as seen from one locked thread. The
// thread is never unlocked: it dies with the test, and the namespaces with it.
type lab struct {
	t     testing.TB
	sw    netns.NsHandle
	hosts []*host
}

// host is on the switch with its interface eth0, 192.0.2.n/24 and 2001:db8::n/64.
type host struct {
	lab *lab
	n   int
	ns  netns.NsHandle
	mac net.HardwareAddr // of eth0
	out *packet.Conn     // for send
}

func newLab(t testing.TB, hosts int) *lab {
	t.Helper()
	runtime.LockOSThread()
	l := &lab{t: t}
	l.sw = nstest.New(l.t)
	l.must(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	nstest.Up(l.t, "br0")
	for range hosts {
		l.addHost()
	}
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) addHost() {
	l.t.Helper()
	h := &host{lab: l, n: len(l.hosts) + 1}
	h.mac = net.HardwareAddr{2, 0, 0, 0, 0, byte(h.n)}
	h.ns = nstest.New(l.t)
	for _, conf := range []string{"all", "default"} {
		h.sysctl("net/ipv6/conf/"+conf+"/accept_dad", "0")
	}
	h.plug("eth0", h.mac)
	h.addAddr("eth0", fmt.Sprintf("192.0.2.%d/24", h.n))
	h.addAddr("eth0", fmt.Sprintf("2001:db8::%d/64", h.n))
	l.hosts = append(l.hosts, h)
}

// plug gives the host an interface on the switch.
func (h *host) plug(name string, mac net.HardwareAddr) {
	l := h.lab
	l.t.Helper()
	port := fmt.Sprintf("p%d%s", h.n, name)
	nstest.In(l.t, l.sw, func() {
		attrs := netlink.LinkAttrs{Name: port, TxQLen: -1}
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(h.ns)}
		l.must(netlink.LinkAdd(veth))
		br, err := netlink.LinkByName("br0")
		l.must(err)
		p, err := netlink.LinkByName(port)
		l.must(err)
		l.must(netlink.LinkSetMaster(p, br))
		l.must(netlink.LinkSetUp(p))
	})
	h.do(func() { nstest.Up(l.t, name) })
	h.ready(name)
}

// ready waits until the host's interface and its port of the switch pass frames.
func (h *host) ready(name string) {
	h.lab.t.Helper()
	h.do(func() { h.lab.carrier(name) })
	nstest.In(h.lab.t, h.lab.sw, func() { h.lab.carrier(fmt.Sprintf("p%d%s", h.n, name)) })
}

// unplug takes the carrier from the host's eth0.
func (h *host) unplug() {
	h.lab.t.Helper()
	nstest.In(h.lab.t, h.lab.sw, func() {
		p, err := netlink.LinkByName(fmt.Sprintf("p%deth0", h.n))
		h.lab.must(err)
		h.lab.must(netlink.LinkSetDown(p))
	})
	h.do(func() {
		h.lab.waitLink("eth0", func(a *netlink.LinkAttrs) bool { return a.RawFlags&unix.IFF_LOWER_UP == 0 })
	})
}

// do runs f in the host's namespace.
func (h *host) do(f func()) {
	h.lab.t.Helper()
	nstest.In(h.lab.t, h.ns, f)
}

// elsewhere runs f in the host's namespace, on a thread of its own.
func (h *host) elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		nstest.In(h.lab.t, h.ns, f)
	}()
	<-done
}

func (l *lab) carrier(name string) {
	l.t.Helper()
	l.waitLink(name, func(a *netlink.LinkAttrs) bool { return a.OperState == netlink.OperUp })
}

// waitLink waits until the interface satisfies ok.
func (l *lab) waitLink(name string, ok func(*netlink.LinkAttrs) bool) {
	l.t.Helper()
	done := make(chan struct{})
	defer close(done)
	updates := make(chan netlink.LinkUpdate)
	l.must(netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true}))
	late := time.After(patience)
	defer func() {
		go func() {
			for range updates {
			}
		}()
	}()
	for {
		select {
		case u := <-updates:
			if u.Link.Attrs().Name == name && ok(u.Link.Attrs()) {
				return
			}
		case <-late:
			l.t.Fatalf("%s does not get into the state wanted", name)
		}
	}
}

func (h *host) sysctl(key, value string) {
	h.lab.t.Helper()
	h.do(func() { h.lab.must(os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)) })
}

// addAddr adds an address without duplicate detection and without our tag.
func (h *host) addAddr(name, prefix string) {
	h.lab.t.Helper()
	h.addAddrFlags(name, prefix, unix.IFA_F_NODAD)
}

func (h *host) addAddrFlags(name, prefix string, flags int) {
	h.lab.t.Helper()
	h.do(func() {
		l, err := netlink.LinkByName(name)
		h.lab.must(err)
		a := &netlink.Addr{IPNet: fromPrefix(netip.MustParsePrefix(prefix))}
		if a.IP.To4() == nil {
			a.Flags = flags
		}
		h.lab.must(netlink.AddrAdd(l, a))
		if a.Flags&unix.IFA_F_NODAD != 0 {
			h.lab.awaitGroup(name, netip.MustParsePrefix(prefix).Addr())
		}
	})
}

// awaitGroup waits until the interface hears those who ask for the IPv6 address: the kernel joins the group later than
// it adds the address.
func (l *lab) awaitGroup(name string, a netip.Addr) {
	l.t.Helper()
	group := solicitedNode(a).As16()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile("/proc/thread-self/net/igmp6")
		l.must(err)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 2 && f[1] == name && f[2] == hex.EncodeToString(group[:]) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			l.t.Fatalf("%s does not join the group of %s", name, a)
		}
	}
}

func (h *host) delAddr(name, prefix string) {
	h.lab.t.Helper()
	h.do(func() {
		l, err := netlink.LinkByName(name)
		h.lab.must(err)
		h.lab.must(netlink.AddrDel(l, &netlink.Addr{IPNet: fromPrefix(netip.MustParsePrefix(prefix))}))
	})
}

// find returns the host's copies of address a.
func (h *host) find(a string) []address {
	h.lab.t.Helper()
	var found []address
	h.do(func() {
		k, err := openKernel(h.lab.t.Context())
		h.lab.must(err)
		defer k.Close()
		all, err := k.addresses()
		h.lab.must(err)
		for _, x := range all {
			if x.prefix.Addr() == netip.MustParseAddr(a) {
				found = append(found, x)
			}
		}
	})
	return found
}

// seen is the host's address a as another library reads it.
func (h *host) seen(a netip.Addr) (found netlink.Addr) {
	h.lab.t.Helper()
	h.do(func() {
		all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		h.lab.must(err)
		for _, x := range all {
			if p, ok := toPrefix(x.IPNet); ok && p.Addr() == a {
				found = x
			}
		}
	})
	return found
}

// neighbour is where the host believes address a to be.
func (h *host) neighbour(a string) (mac net.HardwareAddr) {
	h.lab.t.Helper()
	h.do(func() {
		l, err := netlink.LinkByName("eth0")
		h.lab.must(err)
		list, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
		h.lab.must(err)
		for _, n := range list {
			if n.IP.Equal(net.ParseIP(a)) {
				mac = n.HardwareAddr
			}
		}
	})
	return mac
}

// believe makes the host believe that a is at mac.
func (h *host) believe(a string, mac net.HardwareAddr) {
	h.lab.t.Helper()
	h.do(func() {
		l, err := netlink.LinkByName("eth0")
		h.lab.must(err)
		h.lab.must(netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, IP: net.ParseIP(a), HardwareAddr: mac, State: netlink.NUD_STALE,
		}))
	})
}

// set makes a Set on the host; its log is in the returned buffer.
func (h *host) set(cfg Config, addrs ...string) (*Set, *logBuffer) {
	h.lab.t.Helper()
	if cfg.Owner == "" {
		cfg.Owner = "p_mail:0"
	}
	for _, a := range addrs {
		cfg.Addrs = append(cfg.Addrs, netip.MustParsePrefix(a))
	}
	log := new(logBuffer)
	s, err := New(cfg, slog.New(slog.NewTextHandler(log, nil)))
	h.lab.must(err)
	return s, log
}

func (h *host) take(s *Set) (err error) {
	h.do(func() { err = s.Take(h.lab.t.Context()) })
	return err
}

func (h *host) mustTake(s *Set) {
	h.lab.t.Helper()
	h.lab.must(h.take(s))
}

func (h *host) release(s *Set) (err error) {
	h.do(func() { err = s.Release(h.lab.t.Context()) })
	return err
}

func (h *host) check(s *Set) Report {
	h.lab.t.Helper()
	var r Report
	h.do(func() {
		var err error
		r, err = s.Check(h.lab.t.Context())
		h.lab.must(err)
	})
	return r
}

func (h *host) announce(s *Set, b Burst) (list []Announcement, err error) {
	h.do(func() { list, err = s.Announce(h.lab.t.Context(), b) })
	return list, err
}

// checkUntil repeats Check until ok, for what arrives when it likes.
func (h *host) checkUntil(s *Set, ok func(Report) bool) Report {
	h.lab.t.Helper()
	ctx, cancel := context.WithTimeout(h.lab.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r := h.check(s)
		if ok(r) {
			return r
		}
		select {
		case <-ctx.Done():
			h.lab.t.Fatalf("Check does not show what it should: %+v", r)
		case <-tick.C:
		}
	}
}

// logBuffer may be read while it is written to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// capture records what a host's eth0 receives.
type capture struct {
	host   *host
	conn   *packet.Conn
	frames chan []byte
}

const etherMarker = 0x88b5 // IEEE Std 802, local experimental

func (h *host) capture() *capture {
	h.lab.t.Helper()
	c := &capture{host: h, conn: h.socket(unix.ETH_P_ALL), frames: make(chan []byte, 4096)}
	go func() {
		defer close(c.frames)
		for {
			b := make([]byte, 2048)
			n, _, err := c.conn.ReadFrom(b)
			if err != nil {
				return
			}
			if !bytes.Equal(b[6:12], h.mac) { // not what it sent itself
				c.frames <- b[:n]
			}
		}
	}()
	return c
}

// socket is a packet socket on the host's eth0.
func (h *host) socket(proto int) *packet.Conn {
	h.lab.t.Helper()
	var conn *packet.Conn
	h.do(func() {
		ifi, err := net.InterfaceByName("eth0")
		h.lab.must(err)
		conn, err = packet.Listen(ifi, packet.Raw, proto, nil)
		h.lab.must(err)
	})
	h.lab.t.Cleanup(func() { conn.Close() })
	return conn
}

// send sends a frame from the host's eth0.
func (h *host) send(frame []byte, err error) {
	h.lab.t.Helper()
	h.lab.must(err)
	if h.out == nil {
		h.out = h.socket(0)
	}
	_, err = h.out.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	h.lab.must(err)
}

// upTo returns what came in before a marker that from sends now: nothing sent earlier is missed,
// and nothing has to be waited for.
func (c *capture) upTo(from *host) [][]byte {
	c.host.lab.t.Helper()
	from.send(etherFrame(broadcast, from.mac, etherMarker, make([]byte, 46)), nil)
	var got [][]byte
	late := time.After(patience)
	for {
		select {
		case f := <-c.frames:
			if binary.BigEndian.Uint16(f[12:]) == etherMarker {
				return got
			}
			got = append(got, f)
		case <-late:
			c.host.lab.t.Fatal("the marker frame did not arrive")
		}
	}
}

// about returns the frames of ARP and neighbour discovery that name the address anywhere.
func about(frames [][]byte, a string) [][]byte {
	var got [][]byte
	want := netip.MustParseAddr(a).AsSlice()
	for _, f := range frames {
		switch binary.BigEndian.Uint16(f[12:]) {
		case etherARP:
		case etherIPv6:
			if len(f) < 55 || f[20] != icmpv6 || f[54] != 135 && f[54] != 136 {
				continue
			}
		default:
			continue
		}
		if bytes.Contains(f[14:], want) {
			got = append(got, f)
		}
	}
	return got
}

func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits), ok
}

func fromPrefix(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
