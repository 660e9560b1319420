// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func (h *host) sessions(addrs []string, ports ...uint16) []Session {
	h.lab.t.Helper()
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	var got []Session
	h.do(func() {
		var err error
		got, err = Sessions(h.lab.t.Context(), list, ports)
		h.lab.must(err)
	})
	return got
}

func TestSessions(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	us.addAddr("eth0", vip4+"/32")
	us.addAddr("eth0", vip6+"/128")
	dual, four := us.listen("tcp", ":0"), us.listen("tcp4", ":0")
	if got := us.sessions(nil); len(got) != 0 {
		t.Fatalf("sessions before there are any: %v", got)
	}
	type pair struct{ client, server net.Conn }
	connect := func(s *server, addr string) pair { return pair{client.dial(s.at(addr)), s.accept()} }
	mapped := connect(dual, vip4) // an IPv6 socket in the kernel's eyes
	connect(dual, vip6)
	connect(four, vip4)
	onOwn := connect(four, "192.0.2.1")
	for _, a := range []string{"127.0.0.1", vip4, "192.0.2.1"} { // of this host with itself
		us.dial(dual.at(a))
		dual.accept()
	}
	us.dial(dual.at("::1"))
	dual.accept()

	for _, tc := range []struct {
		name  string
		addrs []string
		ports []uint16
		want  int
	}{
		{"all", nil, nil, 4},
		{"IPv4 address", []string{vip4}, nil, 2},
		{"IPv6 address", []string{vip6}, nil, 1},
		{"both", []string{vip4, vip6}, nil, 3},
		{"port", nil, []uint16{dual.port()}, 2},
		{"ports", nil, []uint16{dual.port(), four.port()}, 4},
		{"address and port", []string{vip4}, []uint16{dual.port()}, 1},
		{"another port", []string{vip4}, []uint16{1}, 0},
		{"another address", []string{"192.0.2.99"}, nil, 0},
	} {
		if got := us.sessions(tc.addrs, tc.ports...); len(got) != tc.want {
			t.Errorf("%s: %d sessions, want %d: %v", tc.name, len(got), tc.want, got)
		}
	}
	got := us.sessions([]string{vip4}, dual.port())[0]
	if got.Local.String() != dual.at(vip4) || got.Remote.String() != mapped.client.LocalAddr().String() {
		t.Errorf("got %v", got)
	}

	mapped.client.Close()
	if err := readEnds(mapped.server); err != io.EOF { // half closed: no longer established
		t.Fatal(err)
	}
	if got := us.sessions([]string{vip4}); len(got) != 1 {
		t.Errorf("after a client has left: %v", got)
	}

	list := us.sessions([]string{vip4, vip6})
	us.do(func() {
		if n, err := Destroy(t.Context(), list); n != 2 || err != nil {
			t.Errorf("Destroy() = %d, %v; want 2", n, err)
		}
		if n, err := Destroy(t.Context(), list); n != 0 || err != nil {
			t.Errorf("again: Destroy() = %d, %v; want 0", n, err)
		}
		if n, err := Destroy(t.Context(), nil); n != 0 || err != nil {
			t.Errorf("Destroy(nothing) = %d, %v", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Destroy(ctx, list); !errors.Is(err, context.Canceled) {
			t.Errorf("Destroy() with ctx done = %v", err)
		}
	})
	if got := us.sessions([]string{vip4, vip6}); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	echo(t, onOwn.client, onOwn.server)
}

// Who waits for an answer from a host that is gone learns that nobody will give one; what
// it has elsewhere goes on.
func TestForsake(t *testing.T) {
	l := newLab(t, 2)
	us, gone := l.hosts[0], l.hosts[1]
	gone.addAddr("eth0", vip4+"/32")
	gone.addAddr("eth0", vip6+"/128")
	srv := gone.listen("tcp", ":0")
	var calls []net.Conn
	for _, a := range []string{vip4, vip6} {
		calls = append(calls, us.dial(srv.at(a)))
		srv.accept()
	}
	other := us.dial(srv.at("192.0.2.2"))
	answers := srv.accept()
	us.do(func() {
		if n, err := Forsake(t.Context(), []netip.Addr{netip.MustParseAddr(vip4), netip.MustParseAddr(vip6)}); n != 2 || err != nil {
			t.Errorf("Forsake() = %d, %v", n, err)
		}
	})
	for _, c := range calls {
		if err := readEnds(c); !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("who waits got %v", err)
		}
	}
	echo(t, other, answers)
}

// The peers of destroyed sessions learn it at once, by a reset.
func TestDestroyResetsThePeer(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
		c := client.dial(srv.at(a))
		s := srv.accept()
		us.do(func() {
			if n, err := Destroy(t.Context(), us.sessions([]string{a})); n != 1 || err != nil {
				t.Errorf("Destroy() = %d, %v", n, err)
			}
		})
		if err := readEnds(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client's read ended with %v, want ECONNRESET", err)
		}
		if err := readEnds(s); !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("the server's read ended with %v, want ECONNABORTED", err)
		}
	}
}

// A session that has ended must not stand for a new one with the same addresses and ports.
func TestDestroyMeansThatSession(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	connect := func(port int) (net.Conn, net.Conn) {
		var c net.Conn
		client.do(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("192.0.2.2"), Port: port}}
			var err error
			c, err = d.DialContext(t.Context(), "tcp", srv.at("192.0.2.1"))
			l.must(err)
		})
		t.Cleanup(func() { c.Close() })
		return c, srv.accept()
	}
	c, s := connect(0)
	port := c.LocalAddr().(*net.TCPAddr).Port
	old := us.sessions(nil)
	c.(*net.TCPConn).SetLinger(0)
	c.Close() // by reset, so that the port is free at once
	if err := readEnds(s); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	c, s = connect(port)
	us.do(func() {
		if n, err := Destroy(t.Context(), old); n != 0 || err != nil {
			t.Errorf("Destroy() = %d, %v; want 0", n, err)
		}
	})
	echo(t, c, s)
}

// Idle is who has been answered; whoever is being waited on, or has sent something that nobody has read, is not.
func TestSessionIdle(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	c := client.dial(srv.at("192.0.2.1"))
	s := srv.accept()
	one := func(what string, ok func(Session) bool) {
		t.Helper()
		var last Session
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if list := us.sessions(nil); len(list) == 1 {
				if last = list[0]; ok(last) {
					return
				}
			}
		}
		t.Errorf("%s: %+v", what, last)
	}
	if _, err := s.Write([]byte("220 hello\r\n")); err != nil {
		t.Fatal(err)
	}
	one("greeted", func(x Session) bool { return x.Idle() > 100*time.Millisecond && x.Inode != 0 })
	if _, err := c.Write([]byte("NOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	one("has asked", func(x Session) bool { return x.Idle() == 0 && x.Unread == 6 })
	if _, err := io.ReadFull(s, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	one("waits for its answer", func(x Session) bool {
		return x.Idle() == 0 && x.Unread == 0 && x.SinceReceived > 100*time.Millisecond
	})
	if _, err := s.Write([]byte("250 ok\r\n")); err != nil {
		t.Fatal(err)
	}
	one("has its answer", func(x Session) bool { return x.Idle() > 100*time.Millisecond })
}

// Connections that this host begins are told by their other end, also those that
// nobody answers, and ending one ends the wait for it.
func TestCalls(t *testing.T) {
	l := newLab(t, 2)
	us, other := l.hosts[0], l.hosts[1]
	s := other.listen("tcp", ":0")
	answered := us.dial(s.at("192.0.2.2"))
	s.accept()
	nobody := "192.0.2.99:389"
	failed := make(chan error, 1)
	go func() {
		us.elsewhere(func() {
			_, err := net.DialTimeout("tcp", nobody, 30*time.Second)
			failed <- err
		})
	}()
	calls := func(to ...string) []Session {
		t.Helper()
		var ends []netip.AddrPort
		for _, e := range to {
			ends = append(ends, netip.MustParseAddrPort(e))
		}
		var got []Session
		us.do(func() {
			var err error
			got, err = Calls(t.Context(), ends)
			l.must(err)
		})
		return got
	}
	if got := calls("192.0.2.2:1"); len(got) != 0 {
		t.Errorf("to another port: %v", got)
	}
	if _, err := answered.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := calls(s.at("192.0.2.2")); len(got) != 1 || got[0].Connecting || !got[0].Unheard || got[0].Awaits() == 0 {
		t.Errorf("the one that was answered: %+v", got)
	}
	var got []Session
	for end := time.Now().Add(5 * time.Second); len(got) == 0 && time.Now().Before(end); {
		got = calls(nobody)
	}
	if len(got) != 1 || !got[0].Connecting || got[0].Awaits() == 0 {
		t.Fatalf("the one that nobody answers: %+v", got)
	}
	us.do(func() {
		n, err := Destroy(t.Context(), got)
		if n != 1 || err != nil {
			t.Errorf("ended %d, %v", n, err)
		}
	})
	if err := <-failed; !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("the wait ended with %v", err)
	}
}
