// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

func TestWaiting(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	port := srv.port()
	l.must(srv.l.Close())
	s, _ := us.set(Config{Wait: []uint16{port}}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	timedOut := func(err error) bool {
		var timeout net.Error
		return errors.As(err, &timeout) && timeout.Timeout()
	}
	for _, vip := range []string{vip4, vip6} {
		if _, err := client.tryDial(srv.at(vip), held); !timedOut(err) {
			t.Errorf("%s, nobody listens: %v, want a timeout", vip, err)
		}
		if _, err := us.tryDial(srv.at(vip), answered); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s, asked by this host itself: %v, want ECONNREFUSED", vip, err)
		}
	}
	// Neither other addresses nor other ports.
	if _, err := client.tryDial(srv.at("192.0.2.1"), answered); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("another address: %v, want ECONNREFUSED", err)
	}
	if _, err := client.tryDial(net.JoinHostPort(vip4, "1"), answered); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("another port: %v, want ECONNREFUSED", err)
	}
	// Whoever waits comes through as soon as somebody listens, without our help.
	result := make(chan error, 1)
	syn := us.awaitSYN(t)
	go client.elsewhere(func() {
		conn, err := net.DialTimeout("tcp", srv.at(vip4), patience)
		if err == nil {
			conn.Close()
		}
		result <- err
	})
	syn()
	again := us.listen("tcp", srv.at("0.0.0.0"))
	if err := <-result; err != nil {
		t.Errorf("waiting client: %v", err)
	}
	again.accept()
	// A session goes on when the listener has gone.
	session := client.dial(srv.at(vip4))
	other := again.accept()
	l.must(again.l.Close())
	echo(t, session, other)

	l.must(us.release(s))
	if got := us.tables(); len(got) != 0 {
		t.Errorf("tables left: %v", got)
	}
}

// A port that a client has used before is none on which nobody listens, while the
// kernel remembers the connection that the service has ended.
func TestWaitingAfterTimeWait(t *testing.T) {
	l := newLab(t, 2)
	us, client := l.hosts[0], l.hosts[1]
	srv := us.listen("tcp", ":0")
	s, _ := us.set(Config{Wait: []uint16{srv.port()}}, vip4+"/32", vip6+"/128")
	us.mustTake(s)
	for _, vip := range []string{vip4, vip6} {
		first := client.dial(srv.at(vip))
		l.must(srv.accept().Close()) // whoever closes first has to remember
		if err := readEnds(first); err != io.EOF {
			t.Fatal(err)
		}
		from := first.LocalAddr()
		l.must(first.Close())
		var again net.Conn
		var err error
		client.elsewhere(func() {
			d := net.Dialer{LocalAddr: from, Timeout: patience}
			again, err = d.Dial("tcp", srv.at(vip))
		})
		if err != nil {
			t.Fatalf("the same port again: %v", err)
		}
		echo(t, again, srv.accept())
	}
}
