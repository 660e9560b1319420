// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
)

// A short time for a connect that must not succeed: a retransmission would come after a second.
const held = 150 * time.Millisecond

// The time for one that must succeed, or be refused, without a retransmission.
const answered = 900 * time.Millisecond

func (h *host) gate(owner string, addrs []string, ports ...uint16) *Gate {
	h.lab.t.Helper()
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	g, err := NewGate(owner, list, ports)
	h.lab.must(err)
	return g
}

func (h *host) setGate(g *Gate, m Mode) {
	h.lab.t.Helper()
	h.do(func() {
		h.lab.must(g.Set(h.lab.t.Context(), m))
		got, err := g.Mode(h.lab.t.Context())
		h.lab.must(err)
		if got != m {
			h.lab.t.Errorf("the gate is in mode %s after Set(%s)", got, m)
		}
	})
}

func TestGateModes(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	us.addAddr("eth0", vip4+"/32")
	us.addAddr("eth0", vip6+"/128")
	srv := us.listen("tcp", ":0")
	other := us.listen("tcp", ":0")
	g := us.gate("p_mta:0", []string{vip4, vip6}, srv.port(), 2525)
	us.do(func() {
		if m, err := g.Mode(t.Context()); m != Open || err != nil {
			t.Errorf("before anything is set: %s, %v", m, err)
		}
	})
	for _, vip := range []string{vip4, vip6} {
		us.setGate(g, Open)
		old := client.dial(srv.at(vip))
		oldServer := srv.accept()
		for _, m := range []Mode{Refuse, Hold, Refuse, Open, Hold} {
			us.setGate(g, m)
			wait := answered
			if m == Hold {
				wait = held
			}
			c, err := client.tryDial(srv.at(vip), wait)
			switch m {
			case Open:
				if err != nil {
					t.Errorf("%s, open: %v", vip, err)
				} else {
					echo(t, c, srv.accept())
				}
			case Refuse:
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s, refuse: %v, want ECONNREFUSED", vip, err)
				}
			case Hold:
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%s, hold: %v, want a timeout", vip, err)
				}
			}
			echo(t, old, oldServer) // old connections go on in every mode
			// A connection of our own, over loopback, always works.
			own := us.dial(srv.at(vip))
			echo(t, own, srv.accept())
		}
		// What the gate does not stand before stays open.
		echo(t, client.dial(other.at(vip)), other.accept())
		echo(t, client.dial(srv.at("192.0.2.1")), srv.accept())
		echo(t, client.dial(srv.at("2001:db8::1")), srv.accept())
	}
	us.setGate(g, Open)
	us.setGate(g, Open)
	if got := us.tables(); len(got) != 0 {
		t.Errorf("tables left: %v", got)
	}
}

// Places that are closed inward refuse what this host itself sends, in both closed modes, and nothing else does.
// Hosts that are admitted come in through a closed gate, and nobody else does.
func TestGateAdmits(t *testing.T) {
	l := newLab(t, 3)
	us, friend, stranger := l.hosts[0], l.hosts[1], l.hosts[2]
	us.addAddr("eth0", vip4+"/32")
	us.addAddr("eth0", vip6+"/128")
	srv := us.listen("tcp", ":0")
	g := us.gate("p_ldap", []string{vip4, vip6}, srv.port())
	for _, m := range []Mode{Refuse, Hold} {
		us.setGate(g.Admit(netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")), m)
		for _, vip := range []string{vip4, vip6} {
			echo(t, friend.dial(srv.at(vip)), srv.accept())
			if _, err := stranger.tryDial(srv.at(vip), held); err == nil {
				t.Errorf("%s, %s: a stranger was let in", vip, m)
			}
		}
	}
}

func TestGateInward(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	us.addAddr("eth0", vip4+"/32")
	us.addAddr("eth0", vip6+"/128")
	lmtp, imap := us.listen("tcp", ":0"), us.listen("tcp", ":0")
	closed := us.gate("p_store", []string{vip4, vip6}, lmtp.port(), imap.port())
	everywhere := closed.Inward(netip.AddrPortFrom(netip.Addr{}, lmtp.port()))
	onIPs := closed.Inward(netip.AddrPortFrom(netip.MustParseAddr(vip4), lmtp.port()), netip.AddrPortFrom(netip.MustParseAddr(vip6), lmtp.port()))
	for _, tt := range []struct {
		name    string
		g       *Gate
		to      *server
		at      string
		refused bool
	}{
		{"not inward", closed, lmtp, vip4, false},
		{"on all addresses", everywhere, lmtp, vip4, true},
		{"on all addresses", everywhere, lmtp, vip6, true},
		{"on all addresses", everywhere, lmtp, "127.0.0.1", true},
		{"on all addresses", everywhere, lmtp, "::1", true},
		{"on all addresses", everywhere, lmtp, "192.0.2.1", true},
		{"another port", everywhere, imap, vip4, false},
		{"on some", onIPs, lmtp, vip4, true},
		{"on some", onIPs, lmtp, vip6, true},
		{"on some, elsewhere", onIPs, lmtp, "127.0.0.1", false},
		{"another port", onIPs, imap, vip6, false},
	} {
		old := us.dial(tt.to.at(tt.at))
		oldServer := tt.to.accept()
		for _, m := range []Mode{Refuse, Hold, Open} {
			us.setGate(tt.g, m)
			c, err := us.tryDial(tt.to.at(tt.at), answered)
			if refused := tt.refused && m != Open; refused && !errors.Is(err, syscall.ECONNREFUSED) || !refused && err != nil {
				t.Errorf("%s, %s, %s: %v", tt.name, tt.at, m, err)
			}
			if err == nil {
				echo(t, c, tt.to.accept())
			}
			echo(t, old, oldServer)
		}
	}
	us.setGate(everywhere, Hold)
	var timeout net.Error
	if _, err := client.tryDial(lmtp.at(vip4), held); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("another host, hold: %v, want a timeout", err)
	}
}

// A connection that met a gate in Hold comes through by itself when the gate opens.
func TestGateHeldConnectionComesThrough(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	g := us.gate("p_mta", nil, srv.port())
	us.setGate(g, Hold)
	result := make(chan error, 1)
	syn := us.awaitSYN(t)
	go client.elsewhere(func() {
		conn, err := net.DialTimeout("tcp", srv.at("192.0.2.1"), patience)
		if err == nil {
			conn.Close()
		}
		result <- err
	})
	syn()
	us.setGate(g, Open)
	if err := <-result; err != nil {
		t.Errorf("held connection: %v", err)
	}
}

// awaitSYN returns a function that waits until a TCP segment with SYN has come in.
func (h *host) awaitSYN(t *testing.T) func() {
	t.Helper()
	conn := h.socket(0x0800)
	return func() {
		conn.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				t.Fatalf("no SYN: %v", err)
			}
			if n >= 54 && b[23] == 6 && b[47]&0x12 == 2 {
				return
			}
		}
	}
}

// A closed gate does not stop this host from connecting to others, from the very address: mail still leaves.
func TestGateLetsOut(t *testing.T) {
	l := newLab(t, 2)
	us, peer := l.hosts[0], l.hosts[1]
	us.addAddr("eth0", vip4+"/32")
	us.addAddr("eth0", vip6+"/128")
	srv := peer.listen("tcp", ":0")
	g := us.gate("p_mta", []string{vip4, vip6})
	for _, m := range []Mode{Refuse, Hold} {
		us.setGate(g, m)
		for from, to := range map[string]string{vip4: "192.0.2.2", vip6: "2001:db8::2"} {
			us.do(func() {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
				c, err := d.DialContext(t.Context(), "tcp", srv.at(to))
				if err != nil {
					t.Errorf("%s, from %s: %v", m, from, err)
					return
				}
				t.Cleanup(func() { c.Close() })
				echo(t, c, srv.accept())
			})
		}
	}
}

func TestGateScopes(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	us.addAddr("eth0", vip4+"/32")
	a, b := us.listen("tcp", ":0"), us.listen("tcp", ":0")
	refused := func(s *server, addr string) bool {
		_, err := client.tryDial(s.at(addr), patience)
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		return err != nil
	}
	for _, tc := range []struct {
		name                    string
		gate                    *Gate
		aVIP, bVIP, aOwn, aOwn6 bool // refused?
	}{
		{"address", us.gate("x", []string{vip4}), true, true, false, false},
		{"port", us.gate("x", nil, a.port()), true, false, true, true},
		{"both", us.gate("x", []string{vip4}, a.port()), true, false, false, false},
	} {
		us.setGate(tc.gate, Refuse)
		if refused(a, vip4) != tc.aVIP || refused(b, vip4) != tc.bVIP || refused(a, "192.0.2.1") != tc.aOwn || refused(a, "2001:db8::1") != tc.aOwn6 {
			t.Errorf("%s: wrong connections refused", tc.name)
		}
	}
}

// Owners don't touch each other's gates, and a firewall that accepts everything does not open one.
func TestGatesAreIndependent(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	us.do(func() {
		c, err := nftables.New()
		l.must(err)
		accept := nftables.ChainPolicyAccept
		tab := c.AddTable(&nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet})
		c.AddChain(&nftables.Chain{Name: "input", Table: tab, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
			Priority: nftables.ChainPriorityFilter, Policy: &accept})
		l.must(c.Flush())
	})
	one, two := us.gate("p_mta:0", nil, srv.port()), us.gate("p_mta:1", nil, srv.port())
	us.setGate(one, Refuse)
	us.setGate(two, Refuse)
	us.setGate(one, Open)
	if _, err := client.tryDial(srv.at("192.0.2.1"), patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("opening one gate opened the other: %v", err)
	}
	us.setGate(two, Open)
	echo(t, client.dial(srv.at("192.0.2.1")), srv.accept())
	if got := us.tables(); !slices.Equal(got, []string{"firewall"}) {
		t.Errorf("tables: %v", got)
	}
}

// While modes that let nobody in replace each other, nobody comes in.
func TestGateNeverOpensInBetween(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	g := us.gate("p_mta", []string{"192.0.2.1"}, srv.port())
	us.setGate(g, Refuse)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	tries := 0
	wg.Go(func() {
		client.elsewhere(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				tries++
				if c, err := net.DialTimeout("tcp", srv.at("192.0.2.1"), 3*time.Millisecond); err == nil {
					t.Error("a connection got through")
					c.Close()
					return
				}
			}
		})
	})
	us.do(func() {
		for i := range 150 {
			l.must(g.Set(t.Context(), []Mode{Hold, Refuse}[i%2]))
		}
	})
	close(stop)
	wg.Wait()
	if tries < 10 {
		t.Errorf("only %d connections tried", tries)
	}
}

func TestGateRefusesNonsense(t *testing.T) {
	for name, try := range map[string]func() error{
		"whole host": func() error { _, err := NewGate("x", nil, nil); return err },
		"no owner":   func() error { _, err := NewGate("", nil, []uint16{25}); return err },
		"no address": func() error { _, err := NewGate("x", []netip.Addr{{}}, nil); return err },
		"mapped": func() error {
			_, err := NewGate("x", []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, nil)
			return err
		},
		"mode": func() error {
			g, err := NewGate("x", nil, []uint16{25})
			if err != nil {
				return nil
			}
			return g.Set(t.Context(), Mode(7))
		},
		"context": func() error {
			g, err := NewGate("x", nil, []uint16{25})
			if err != nil {
				return nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return g.Set(ctx, Hold)
		},
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestGateModeOfForeignTable(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	g := h.gate("p_mta", []string{vip4})
	h.do(func() {
		c, err := nftables.New()
		l.must(err)
		c.AddTable(g.table())
		l.must(c.Flush())
		if m, err := g.Mode(t.Context()); err == nil {
			t.Errorf("Mode() = %s for an empty table", m)
		}
	})
	h.setGate(g, Refuse)
	h.setGate(g, Open)
}

// A gate that can't be set says so, also when it should be opened: it may be closed still.
func TestGateWithoutRights(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	g := h.gate("p_mta", []string{vip4})
	h.setGate(g, Hold)
	h.elsewhere(func() {
		l.must(dropNetAdmin())
		for _, m := range []Mode{Open, Hold, Refuse} {
			if err := g.Set(t.Context(), m); err == nil || !strings.Contains(err.Error(), "p_mta") {
				t.Errorf("Set(%s) = %v", m, err)
			}
		}
		if m, err := g.Mode(t.Context()); err == nil {
			t.Errorf("Mode() = %s without having looked", m)
		}
	})
}
