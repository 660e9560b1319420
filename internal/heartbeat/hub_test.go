// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// hub is the networks of a cluster in a bubble of synctest.
type hub struct {
	t     *testing.T
	start time.Time

	mu    sync.Mutex
	at    map[netip.Addr]chan<- sent
	fate  func(e ends) (delay time.Duration, lost bool)
	taken []sent // what went over the wire
	nodes []Node
}

type sent struct {
	ends
	b []byte
}

// bubbleClock is the bubble's time.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() clock.Time { return clock.Time(time.Hour + time.Since(c.start)) }

// plug is a node's end of the hub.
type plug struct {
	hub  *hub
	open []netip.Addr
	in   chan sent
	bell chan struct{}
}

func (p *plug) listen(addresses []netip.Addr) map[netip.Addr]error {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	for _, a := range p.open {
		delete(p.hub.at, a)
	}
	for _, a := range addresses {
		p.hub.at[a] = p.in
	}
	p.open = addresses
	return nil
}

func (p *plug) wait(d time.Duration, hear func(local, from netip.Addr, b []byte)) (woken bool) {
	late := time.After(d)
	select {
	case <-p.bell:
		woken = true
	case <-late:
	case s := <-p.in:
		hear(s.remote, s.local, s.b)
	}
	for range len(p.in) {
		s := <-p.in
		hear(s.remote, s.local, s.b)
	}
	return woken
}

func (p *plug) wake() { poke(p.bell) }

func (p *plug) close() { p.listen(nil) }

func (p *plug) send(e ends, b []byte) error {
	h := p.hub
	h.mu.Lock()
	h.taken = append(h.taken, sent{e, b})
	delay, lost := h.fate(e)
	h.mu.Unlock()
	if !lost {
		time.AfterFunc(delay, func() { h.put(e, b) })
	}
	return nil
}

// put has a packet arrive.
func (h *hub) put(e ends, b []byte) {
	h.mu.Lock()
	in := h.at[e.remote]
	h.mu.Unlock()
	if in != nil {
		in <- sent{e, b}
	}
}

// deliver has a packet heard.
func (h *hub) deliver(e ends, b []byte) {
	h.put(e, b)
	synctest.Wait()
}

// lose has packets lost from now on.
func (h *hub) lose(which func(e ends) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fate = func(e ends) (time.Duration, bool) { return 200 * time.Microsecond, which(e) }
}

func nothing(ends) bool { return false }

// name is n1 for the first.
func name(i int) string { return fmt.Sprintf("n%d", i+1) }

// address is that of a node in one of the networks.
func address(i, network int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(network), 0, byte(i + 1)})
}

// of is which node has an address.
func of(a netip.Addr) int { return int(a.As4()[3]) - 1 }

func newHub(t *testing.T, nodes, networks int) *hub {
	h := &hub{t: t, start: time.Now(), at: map[netip.Addr]chan<- sent{}}
	h.lose(nothing)
	for i := range nodes {
		n := Node{Name: name(i), Life: uint64(100 + i), Key: public(byte(i))}
		for k := range networks {
			n.Addresses = append(n.Addresses, address(i, k))
		}
		h.nodes = append(h.nodes, n)
	}
	return h
}

// beating is a heart that runs.
type beating struct {
	*Heart
	stop func() // and wait until it has
}

func (h *hub) heart(i int, change func(*Config)) beating {
	cfg := Config{
		Cluster: "mail", Node: name(i), Key: key(byte(i)), Port: 2382, Timing: Defaults(), Promise: 10 * time.Second,
		Agree: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	heart, err := New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	heart.wire.close()
	heart.clock, heart.wire = bubbleClock{h.start}, &plug{hub: h, in: make(chan sent, 1000), bell: make(chan struct{}, 1)}
	heart.hasten = func(bool) error { return nil } // the tests compute a lot
	if err := heart.Follow(h.nodes); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		heart.Run(ctx)
	}()
	return beating{heart, func() { cancel(); <-done }}
}

// cluster runs all hearts in a bubble until test returns.
func cluster(t *testing.T, nodes, networks int, test func(h *hub, hearts []beating)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, nodes, networks)
		var hearts []beating
		for i := range nodes {
			hearts = append(hearts, h.heart(i, nil))
		}
		time.Sleep(10 * time.Second) // they know how steady they are
		test(h, hearts)
		for _, b := range hearts {
			b.stop()
		}
	})
}

// see is what a heart knows of a node.
func (b beating) see(i int) Sight {
	s, _ := b.View().Node(name(i))
	return s
}

// addresses are those of a node in the first network.
func addresses(i int) []netip.Addr { return []netip.Addr{address(i, 0)} }
