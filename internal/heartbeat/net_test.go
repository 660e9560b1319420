// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/nstest"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of heartbeat make network namespaces: run them as root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// networks is hosts on two switches, each host in a network namespace of its own, as
// seen from one locked thread, which dies with the test.
type networks struct {
	t     *testing.T
	sw    netns.NsHandle
	hosts []netns.NsHandle
	nodes []Node
}

const (
	ipv4 = iota // on the first switch
	ipv6        // on the second one
)

func newNetworks(t *testing.T, hosts int) *networks {
	t.Helper()
	runtime.LockOSThread()
	n := &networks{t: t}
	n.sw = nstest.New(n.t)
	for _, name := range []string{"br0", "br1"} {
		n.must(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}))
		nstest.Up(n.t, name)
	}
	for i := range hosts {
		ns := nstest.New(n.t)
		n.hosts = append(n.hosts, ns)
		n.plug(i, 0, fmt.Sprintf("192.0.2.%d/24", i+1))
		n.plug(i, 1, fmt.Sprintf("2001:db8::%d/64", i+1))
		n.nodes = append(n.nodes, Node{
			Name: name(i), Life: uint64(100 + i), Key: public(byte(i)),
			Addresses: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i+1)), netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1))},
		})
	}
	return n
}

func (n *networks) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// plug gives the host that the thread is in an interface on a switch.
func (n *networks) plug(host, network int, address string) {
	n.t.Helper()
	port, eth := fmt.Sprintf("p%d-%d", host, network), fmt.Sprintf("eth%d", network)
	nstest.In(n.t, n.sw, func() {
		n.must(netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, TxQLen: -1}, PeerName: eth, PeerNamespace: netlink.NsFd(n.hosts[host]),
		}))
		br, err := netlink.LinkByName(fmt.Sprintf("br%d", network))
		n.must(err)
		l, err := netlink.LinkByName(port)
		n.must(err)
		n.must(netlink.LinkSetMaster(l, br))
		n.must(netlink.LinkSetUp(l))
	})
	nstest.Up(n.t, eth)
	l, err := netlink.LinkByName(eth)
	n.must(err)
	a, err := netlink.ParseAddr(address)
	n.must(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	n.must(netlink.AddrAdd(l, a))
}

// run runs a program in a host's namespace.
func (n *networks) run(host int, stdin string, args ...string) {
	n.t.Helper()
	nstest.In(n.t, n.hosts[host], func() {
		cmd := exec.CommandContext(n.t.Context(), args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			n.t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	})
}

// rules puts nftables rules into a host's input, in place of those before.
func (n *networks) rules(host int, rules ...string) {
	n.t.Helper()
	n.run(host, "add table inet cut\ndelete table inet cut\ntable inet cut {\nchain in {\ntype filter hook input priority 0\n"+
		strings.Join(rules, "\n")+"\n}\n}\n", "nft", "-f", "-")
}

// heart runs a node's heart in its namespace until the test ends.
func (n *networks) heart(host int) beating {
	n.t.Helper()
	timing := Defaults()
	timing.Suspect = 400 * ms // other tests may load the machine
	h, err := New(Config{
		Cluster: "mail", Node: name(host), Key: key(byte(host)), Port: 2382, Timing: timing, Promise: 10 * time.Second,
		Agree: func(string) bool { return true }, Log: slog.New(slog.NewTextHandler(n.t.Output(), nil)),
	})
	n.must(err)
	n.must(h.Follow(n.nodes))
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // sockets are of the namespace that the thread is in
		if err := netns.Set(n.hosts[host]); err != nil {
			n.t.Error(err)
			return
		}
		h.Run(ctx)
	}()
	stop := func() { cancel(); <-done }
	n.t.Cleanup(stop)
	return beating{h, stop}
}

func (n *networks) hearts() []beating {
	var all []beating
	for i := range n.hosts {
		all = append(all, n.heart(i))
	}
	return all
}

// wait waits until a heart's view is as wanted.
func (b beating) wait(t *testing.T, what string, ok func(View) bool) {
	t.Helper()
	late := time.After(15 * time.Second)
	for !ok(b.View()) {
		select {
		case <-b.Changed():
		case <-time.After(10 * ms): // times in it change without a word
		case <-late:
			t.Fatalf("%s never finds that %s; but %+v", b.cfg.Node, what, b.View())
		}
	}
}

func alive(nodes ...int) func(View) bool {
	return func(v View) bool {
		for _, i := range nodes {
			if s, _ := v.Node(name(i)); s.State != Alive {
				return false
			}
		}
		return v.Sound
	}
}

func condemned(i int) func(View) bool {
	return func(v View) bool { s, _ := v.Node(name(i)); return s.Condemned }
}

func ready(t *testing.T, hearts []beating) {
	t.Helper()
	for i, b := range hearts {
		var others []int
		for k := range hearts {
			if k != i {
				others = append(others, k)
			}
		}
		b.wait(t, "all are alive over all paths", func(v View) bool {
			for _, s := range v.Nodes {
				for _, p := range s.Paths {
					if p.Heard == 0 {
						return false
					}
				}
			}
			return alive(others...)(v)
		})
	}
}

// Two families, two networks: one of them may fail, both may not.
func TestNetworksFail(t *testing.T) {
	n := newNetworks(t, 3)
	hearts := n.hearts()
	ready(t, hearts)
	v := hearts[0].View()
	if len(v.Nodes[1].Paths) != 2 || len(v.Closed) != 0 {
		t.Fatalf("got %+v", v)
	}
	n.rules(2, "ip protocol udp drop")
	hearts[2].wait(t, "IPv4 is silent", func(v View) bool { return v.Nodes[0].Paths[ipv4].Silent && !v.Nodes[0].Paths[ipv6].Silent })
	if s := hearts[2].see(0); s.State != Alive || s.Suspicions != 0 {
		t.Errorf("got %+v", s)
	}
	// It hears nobody, but is heard: nobody is condemned, and it knows why it should not act.
	n.rules(2, "meta l4proto udp drop")
	hearts[2].wait(t, "it is alone", func(v View) bool {
		return !v.Sound && v.Nodes[0].State == Suspect && v.Nodes[1].State == Suspect
	})
	hearts[0].wait(t, "it looks dead to n3", func(v View) bool { return alive(1, 2)(v) })
	for i, b := range hearts {
		for k := range hearts {
			if condemned(k)(b.View()) {
				t.Errorf("n%d has n%d condemned", i+1, k+1)
			}
		}
	}
	n.rules(2)
	ready(t, hearts)
	// Nobody hears it, and it hears all.
	n.rules(0, "ip saddr 192.0.2.3 drop", "ip6 saddr 2001:db8::3 udp dport 2382 drop")
	n.rules(1, "ip saddr 192.0.2.3 drop", "ip6 saddr 2001:db8::3 udp dport 2382 drop")
	for _, b := range hearts {
		b.wait(t, "n3 is condemned", condemned(2))
	}
	if v := hearts[2].View(); v.Sound || v.Nodes[0].State != Alive {
		t.Errorf("n3 finds %+v", v)
	}
	n.rules(0)
	n.rules(1)
	hearts[0].wait(t, "n3 is back", func(v View) bool { return alive(1, 2)(v) && !condemned(2)(v) })
	// It goes, and says so.
	hearts[2].stop()
	hearts[0].wait(t, "n3 has left", func(v View) bool { return v.Nodes[2].State == Unknown })
	if condemned(2)(hearts[0].View()) {
		t.Error("who leaves is condemned")
	}
}

// Two nodes on a network that loses a third of what is sent.
func TestBadNetwork(t *testing.T) {
	n := newNetworks(t, 2)
	n.rules(0, "meta l4proto udp numgen random mod 100 < 30 drop")
	n.rules(1, "meta l4proto udp numgen random mod 100 < 30 drop")
	hearts := n.hearts()
	ready(t, hearts)
	time.Sleep(8 * time.Second) // the limit is that of a steady node from the fifth on, if it came steadily
	s := hearts[0].see(1)
	if s.State != Alive || s.Limit < 400*ms {
		t.Errorf("got %+v", s)
	}
}

// A node that is kept from running for a while finds nobody dead, whatever it looks
// like to others.
func TestStall(t *testing.T) {
	n := newNetworks(t, 3)
	hearts := n.hearts()
	ready(t, hearts)
	time.Sleep(warmup)
	hearts[0].mu.Lock() // nothing of it runs any more
	hearts[1].wait(t, "n1 is condemned", condemned(0))
	time.Sleep(time.Second)
	hearts[0].mu.Unlock()
	hearts[0].wait(t, "it has slept", func(v View) bool { return v.LongestSleep > time.Second })
	hearts[0].wait(t, "all are alive", alive(1, 2))
	for _, s := range hearts[0].View().Nodes {
		if s.Suspicions > 0 {
			t.Errorf("the one that slept has suspected: %+v", s)
		}
	}
	hearts[1].wait(t, "n1 is back", func(v View) bool { return alive(0)(v) && !condemned(0)(v) })
}

// A stranger in the same network sends what it likes, and what it has heard.
func TestStranger(t *testing.T) {
	n := newNetworks(t, 4)
	n.nodes = n.nodes[:3]
	var hearts []beating
	for i := range 3 {
		hearts = append(hearts, n.heart(i))
	}
	ready(t, hearts)
	// It takes the dead one's address, and has kept its packets.
	hearts[2].mu.Lock()
	kept := hearts[2].mind.say(hearts[2].clock.Now(), false)
	hearts[2].mind.sequence--
	kept.sequence--
	forged := kept
	forged.sequence += 1000
	hearts[2].mu.Unlock()
	n.rules(2, "meta l4proto udp drop")
	n.run(2, "", "ip", "addr", "del", "192.0.2.3/24", "dev", "eth0")
	n.run(2, "", "ip", "-6", "addr", "del", "2001:db8::3/64", "dev", "eth1")
	hearts[0].wait(t, "n3 is condemned", condemned(2))
	n.run(3, "", "ip", "addr", "add", "192.0.2.3/24", "dev", "eth0")
	var conn net.PacketConn
	nstest.In(t, n.hosts[3], func() {
		var err error
		conn, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", "192.0.2.3:2382")
		n.must(err)
	})
	defer conn.Close()
	target := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:2382"))
	for why, b := range map[Reason][]byte{
		Replayed:  kept.encode(nil, clusterID("mail"), key(2)),
		Forged:    forged.encode(nil, clusterID("mail"), key(3)),
		Malformed: []byte("GET / HTTP/1.0\r\n\r\n"),
		TooLong:   make([]byte, 8000),
	} {
		before := hearts[0].View().Ignored[why]
		_, err := conn.WriteTo(b, target)
		n.must(err)
		hearts[0].wait(t, string(why), func(v View) bool { return v.Ignored[why] > before })
	}
	if s := hearts[0].see(2); s.State != Suspect || !s.Condemned {
		t.Errorf("got %+v", s)
	}
}

// An address that is not there yet is listened at all the same; one that another
// program listens at is told of, and taken when it is free.
func TestAddressesThatAreNotFree(t *testing.T) {
	n := newNetworks(t, 2)
	var other net.PacketConn
	nstest.In(t, n.hosts[0], func() {
		var err error
		other, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", "192.0.2.1:2382")
		n.must(err)
	})
	n.run(0, "", "ip", "-6", "addr", "del", "2001:db8::1/64", "dev", "eth1")
	hearts := n.hearts()
	hearts[0].wait(t, "an address is taken", func(v View) bool {
		return len(v.Closed) == 1 && v.Closed[netip.MustParseAddr("192.0.2.1")] != nil
	})
	n.run(0, "", "ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "eth1", "nodad")
	hearts[0].wait(t, "n2 is heard over IPv6", alive(1))
	other.Close()
	ready(t, hearts)
}

// A daemon's heart beats before the daemon knows who else there is, and after it is told that it is
// nobody itself.
func TestHeartAlone(t *testing.T) {
	n := newNetworks(t, 2)
	nodes := n.nodes
	n.nodes = nil
	hearts := n.hearts()
	time.Sleep(100 * ms)
	for _, b := range hearts {
		n.must(b.Follow(nodes))
	}
	ready(t, hearts)
	n.must(hearts[0].Follow(nil))
	hearts[1].wait(t, "n1 is silent", func(v View) bool { return v.Nodes[0].State == Suspect })
	n.must(hearts[0].Follow(nodes))
	ready(t, hearts)
}

// While a heart beats all threads of the program have the priority of real time, its own a
// higher one; what the program starts has not, and afterwards nothing has.
func TestPriority(t *testing.T) {
	priorities := func() map[uint32]int {
		all := map[uint32]int{}
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				t.Fatal(err)
			}
			if attr, err := unix.SchedGetAttr(id, 0); err == nil { // it may have ended
				all[attr.Priority]++
			}
		}
		return all
	}
	n := newNetworks(t, 1)
	b := n.heart(0)
	late := time.After(10 * time.Second)
	for p := priorities(); p[0] > 0 || p[2] != 1; p = priorities() {
		select {
		case <-time.After(10 * ms):
		case <-late:
			t.Fatalf("threads by priority: %v", p)
		}
	}
	out, err := exec.CommandContext(t.Context(), "cat", "/proc/self/sched").Output()
	if err != nil || !regexp.MustCompile(`policy +: +0\n`).Match(out) {
		t.Errorf("what it starts has (%v)\n%s", err, out)
	}
	b.stop()
	if p := priorities(); p[1]+p[2] > 0 {
		t.Errorf("threads by priority afterwards: %v", p)
	}
}

// The clock that hearts run by is the lease's.
func TestClock(t *testing.T) {
	h, err := New(Config{Cluster: "c", Node: "n", Key: key(1), Port: 1, Timing: Defaults(), Promise: time.Second,
		Agree: func(string) bool { return false }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := h.clock.(clock.Boot); !ok {
		t.Errorf("it is %T", h.clock)
	}
}
