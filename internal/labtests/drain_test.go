// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// background calls an action while the test goes on. Nothing comes out of it
// if the action could not be called at all.
func (r resource) background(t testing.TB, n *lab.Node, action string, c call) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		defer close(done)
		done <- r.do(t, n, action, c)
	}()
	return done
}

// succeeded waits for an action in the background.
func succeeded(t testing.TB, done <-chan answer) answer {
	t.Helper()
	a, ok := <-done
	if !ok || a.code != success {
		t.Fatalf("want success, got %s", a)
	}
	return a
}

// shut waits until new connections are refused, or not answered at all.
func shut(t testing.TB, h *lab.Host, how error) {
	t.Helper()
	await(t, patience, "the gate to close", func() bool {
		conn, err := dial(h, net.JoinHostPort(vip4, "25"), 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, how) || how == syscall.ETIMEDOUT && isTimeout(err)
	})
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// empty waits until the MTA has done with all of its mail.
func empty(t testing.TB, n *lab.Node) {
	t.Helper()
	await(t, 20*time.Second, "the queue to be empty", func() bool { return queue(t, n) == "" })
}

// A stop lets clients and deliveries finish what they are at, and no longer
// than it was told to.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode string
		how  error // how new connections fail
	}{
		{"refuse", syscall.ECONNREFUSED},
		{"hold", syscall.ETIMEDOUT},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			p := newPlace(t, lab.Config{Disk: true})
			n, client := p.node, p.Client()
			const drain = 5 * time.Second
			sink := startSink(t, p, 3*time.Second)
			r := mta("drain_timeout", drain.String(), "gate_mode", tt.mode)
			r.start(t, n)

			submit(t, client, vip4, "slow@example.test")
			sink.has(patience, "slow@example.test") // but has not said so yet
			busy := connect(t, client, vip4)
			busy.begin("busy@example.test")
			stuck := connect(t, client, vip4)
			stuck.begin("unfinished@example.test")

			began := time.Now()
			stop := r.background(t, n, "stop", call{})
			shut(t, client, tt.how)
			busy.finish()
			busy.begin("again@example.test") // a session in hand may go on
			busy.finish()
			busy.say("QUIT", 221)
			if err := stuck.cut(2 * drain); err != nil {
				t.Errorf("the session within a message lives on: %v", err)
			}
			if took := time.Since(began); took < drain-100*time.Millisecond || took > drain+3*time.Second {
				t.Errorf("the session within a message was cut after %s, want %s", took, drain)
			}
			a := succeeded(t, stop)
			if a.took > drain+5*time.Second {
				t.Errorf("too long: %s", a)
			}
			bare(t, n)
			if got := sink.copies()["slow@example.test"]; got != 1 {
				t.Errorf("%d copies of the delivery under way", got)
			}

			r.start(t, n)
			empty(t, n)
			for _, rcpt := range []string{"slow@example.test", "busy@example.test", "again@example.test"} {
				if got := sink.copies()[rcpt]; got != 1 {
					t.Errorf("%d copies of the mail to %s", got, rcpt)
				}
			}
			r.stop(t, n)
		})
	}
}

// Deliveries have all of the drain's time, however long clients stay: one that
// is cut is done again by the next start.
func TestDrainDeliveriesBesideClients(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	sink := startSink(t, p, 4*time.Second)
	r := mta("drain_timeout", "5s")
	r.start(t, n)
	connect(t, client, vip4).begin("unfinished@example.test") // and stays
	busy := connect(t, client, vip4)
	busy.begin("slow-late@example.test")

	stop := r.background(t, n, "stop", call{})
	shut(t, client, syscall.ECONNREFUSED)
	submitted := time.NewTimer(2 * time.Second) // a delivery that begins now cannot end in time
	<-submitted.C
	busy.finish()
	succeeded(t, stop)
	bare(t, n)

	r.start(t, n)
	empty(t, n)
	if got := sink.copies()["slow-late@example.test"]; got != 1 {
		t.Errorf("%d copies of a mail that came in during the drain", got)
	}
	r.stop(t, n)
}

// A drain ends with the last delivery. The delivery agents hold on to their
// messages for longer: until the queue manager, which is suspended, hangs up.
func TestDrainEndsWithLastDelivery(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	const slow, drain = 6 * time.Second, 15 * time.Second
	sink := startSink(t, p, slow)
	r := mta("drain_timeout", drain.String())
	r.start(t, n)
	submit(t, client, vip4, "quick@example.test") // its agent stays, idle
	sink.has(patience, "quick@example.test")
	submit(t, client, vip4, "slow1@example.test", "slow2@example.test")
	sink.has(patience, "slow1@example.test", "slow2@example.test") // but has not said so yet

	a := r.stop(t, n)
	if !strings.Contains(a.log, " left=0 ") || a.took < slow/2 || a.took > drain-5*time.Second {
		t.Errorf("want nothing left and about %s, got %s", slow, a)
	}
	bare(t, n)
	r.start(t, n)
	empty(t, n)
	for _, rcpt := range []string{"quick@example.test", "slow1@example.test", "slow2@example.test"} {
		if got := sink.copies()[rcpt]; got != 1 {
			t.Errorf("%d copies of the mail to %s", got, rcpt)
		}
	}
	r.stop(t, n)
}

// Without time to drain, what is in hand is cut. What was accepted is not lost.
func TestDrainWithoutTime(t *testing.T) {
	p := newPlace(t, lab.Config{Disk: true})
	n, client := p.node, p.Client()
	sink := startSink(t, p, 2*time.Second)
	r := mta("drain_timeout", "0")
	r.start(t, n)
	submit(t, client, vip4, "slow1@example.test", "quick@example.test", "slow2@example.test")
	cut := connect(t, client, vip4)
	cut.begin("unfinished@example.test")

	const quick = 3 * time.Second
	if a := r.must(t, n, "stop", call{}, success); a.took > quick {
		t.Errorf("too long: %s", a)
	}
	if err := cut.cut(quick); err != nil {
		t.Errorf("the session lives on: %v", err)
	}
	bare(t, n)

	r.start(t, n)
	empty(t, n)
	got := sink.copies()
	for _, rcpt := range []string{"slow1@example.test", "quick@example.test", "slow2@example.test"} {
		if got[rcpt] == 0 {
			t.Errorf("mail to %s was accepted and is lost", rcpt)
		}
	}
	if got["unfinished@example.test"] != 0 {
		t.Error("half a message was delivered")
	}
	r.stop(t, n)
}

// With the gate on hold, a client that comes while the resource moves is not
// refused: its own TCP tries again, and meets the next node.
func TestHoldDuringMove(t *testing.T) {
	p := newPlace(t, lab.Config{Nodes: 2, Disk: true})
	from, to := p.Nodes()[0], p.Nodes()[1]
	r := mta("gate_mode", "hold", "drain_timeout", "3s")
	r.start(t, from)
	connect(t, p.Client(), vip4).begin("unfinished@example.test") // keeps the drain busy
	stop := r.background(t, from, "stop", call{})
	shut(t, p.Client(), syscall.ETIMEDOUT)

	late := comeLater(p)
	succeeded(t, stop)
	run(t, from, "umount "+mailDir)
	run(t, to, "mount "+lab.DiskPath+" "+mailDir)
	r.start(t, to)
	late(t)
	bare(t, from)
	r.stop(t, to)
	bare(t, to)
}

// comeLater connects while the gate is closed, and returns what waits until the
// client was greeted in the end.
func comeLater(p *place) (greeted func(t *testing.T)) {
	type result struct {
		conn net.Conn
		err  error
	}
	late := make(chan result, 1)
	go func() {
		conn, err := dial(p.Client(), net.JoinHostPort(vip4, "25"), 30*time.Second)
		late <- result{conn, err}
	}()
	return func(t *testing.T) {
		t.Helper()
		r := <-late
		if r.err != nil {
			t.Fatalf("a client that came while the gate was closed: %v", r.err)
		}
		defer r.conn.Close()
		s := newSession(t, r.conn)
		s.hear(220)
		s.say("QUIT", 221)
	}
}

// A start that comes while clients are held lets them in only once the service
// answers.
func TestHoldDuringRestart(t *testing.T) {
	p := newPlace(t, lab.Config{})
	r := mta("gate_mode", "hold", "drain_timeout", "2s")
	r.start(t, p.node)
	connect(t, p.Client(), vip4).begin("unfinished@example.test")
	stop := r.background(t, p.node, "stop", call{})
	shut(t, p.Client(), syscall.ETIMEDOUT)
	late := comeLater(p)
	succeeded(t, stop)
	r.start(t, p.node)
	late(t)
	r.stop(t, p.node)
}

// An instance without addresses of its own shuts its clients out where it
// listens, and nowhere else on the node.
func TestDrainWithoutAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, interfaces string
		others           bool // whether others on the node go on
	}{
		{"named", "10.77.0.11 127.0.0.1", true},
		{"all", "all", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			n, client := p.node, p.Client()
			run(t, n, "postconf -c "+configDir+" -e 'inet_interfaces="+tt.interfaces+"'; ip addr add 10.77.0.60/32 dev eth0; sed 's/7001/25/; s/\"\", 25/\"10.77.0.60\", 25/' /usr/local/bin/listener >/usr/local/bin/other; chmod 755 /usr/local/bin/other")
			if tt.others {
				run(t, n, "systemd-run --quiet --unit=other /usr/local/bin/other; until ss -Htln | grep -q 10.77.0.60:25; do sleep 0.02; done")
			}
			r := mta("ip", "", "drain_timeout", "6s")
			r.start(t, n)
			connect(t, client, "10.77.0.11").begin("unfinished@example.test")
			stop := r.background(t, n, "stop", call{})
			await(t, patience, "the gate to close", func() bool {
				_, err := dial(client, "10.77.0.11:25", time.Second)
				return errors.Is(err, syscall.ECONNREFUSED)
			})
			conn, err := dial(client, "10.77.0.60:25", time.Second)
			if tt.others != (err == nil) {
				t.Errorf("another address of the node: %v", err)
			}
			if err == nil {
				conn.Close()
			}
			succeeded(t, stop)
		})
	}
}
