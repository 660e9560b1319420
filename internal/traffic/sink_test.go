// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// testSink is a sink that serves on the loopback, IPv4 and IPv6.
type testSink struct {
	*sink
	addrs  []string
	stop   context.CancelFunc
	served chan error
}

func startTestSink(t *testing.T, cfg SinkConfig) (s *testSink, ledgerFile string) {
	t.Helper()
	ledgerFile, l := tempLedger(t)
	return serveTestSink(t, newSink(cfg, l)), ledgerFile
}

func serveTestSink(t *testing.T, server *sink) *testSink {
	t.Helper()
	listeners, err := listenAll(t.Context(), []string{"127.0.0.1:0", "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &testSink{sink: server, addrs: addresses(listeners), stop: cancel, served: make(chan error, 1)}
	go func() {
		s.served <- s.serve(ctx, listeners)
		close(s.served)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-s.served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// client talks to a sink line by line.
type client struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
}

func dialSink(t *testing.T, addr string) *client {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(deadline(t, 5*time.Second), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{t, conn, bufio.NewReader(conn)}
}

// say sends raw text and wants replies with these codes, in this order.
func (c *client) say(text string, codes ...int) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
	for _, want := range codes {
		r, err := smtp.ReadReply(c.br)
		if err != nil || r.Code != want {
			c.t.Fatalf("reply to %.60q: %v, %v; want %d", text, r, err, want)
		}
	}
}

func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := c.br.ReadByte(); err == nil {
		c.t.Fatalf("connection is still open and gave %q", b)
	}
}

func TestSinkDialogue(t *testing.T) {
	type step struct {
		say   string
		codes []int
	}
	on := func(say string, codes ...int) step { return step{say, codes} }
	hello, mail, rcpt := on("EHLO c\r\n", 250), on("MAIL FROM:<a@b>\r\n", 250), on("RCPT TO:<c@d>\r\n", 250)
	for _, tt := range []struct {
		name     string
		steps    []step
		messages int
		over     bool
	}{
		{name: "a message", messages: 1, over: true, steps: []step{hello, mail, rcpt, on("DATA\r\n", 354), on("a\r\n.\r\n", 250), on("QUIT\r\n", 221)}},
		{name: "pipelined", messages: 1, steps: []step{
			hello, on("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<>\r\nDATA\r\n", 250, 250, 501, 354), on(".\r\nRSET\r\nNOOP\r\n", 250, 250, 250),
		}},
		{name: "two messages", messages: 2, steps: []step{
			hello, mail, rcpt, on("DATA\r\n", 354), on("a\r\n.\r\n", 250),
			on("DATA\r\n", 503), mail, rcpt, on("DATA\r\n", 354), on("a\r\n.\r\n", 250),
		}},
		{name: "no hello", steps: []step{on("MAIL FROM:<a@b>\r\n", 503), on("RCPT TO:<a@b>\r\n", 503), on("DATA\r\n", 503), on("NOOP\r\n", 250)}},
		{name: "no recipient", steps: []step{hello, mail, on("DATA\r\n", 503)}},
		{name: "no sender", steps: []step{hello, on("RCPT TO:<c@d>\r\n", 503)}},
		{name: "nested", steps: []step{hello, mail, on("MAIL FROM:<a@b>\r\n", 503)}},
		{name: "RSET forgets", steps: []step{hello, mail, rcpt, on("RSET\r\n", 250), on("DATA\r\n", 503), on("RCPT TO:<c@d>\r\n", 503)}},
		{name: "EHLO forgets", steps: []step{hello, mail, rcpt, hello, on("DATA\r\n", 503)}},
		{name: "failed RCPT does not count", steps: []step{hello, mail, on("RCPT TO:<nobody>\r\n", 501), on("DATA\r\n", 503)}},
		{name: "HELO has no extensions", steps: []step{on("HELO c\r\n", 250), on("MAIL FROM:<a@b> SIZE=1\r\n", 555), on("MAIL FROM:<a@b>\r\n", 250)}},
		{name: "too big as declared", steps: []step{hello, on("MAIL FROM:<a@b> SIZE=1000000000\r\n", 552)}},
		{name: "bare LF", steps: []step{hello, on("NOOP\nNOOP\r\n", 500, 250)}},
		{name: "long line", steps: []step{hello, on("NOOP "+strings.Repeat("x", 10000)+"\r\nNOOP\r\n", 500, 250)}},
		{name: "unknown", steps: []step{hello, on("STARTTLS\r\n", 500), on("\r\n", 500), on("VRFY x\r\n", 252)}},
		{name: "talks before the 354", over: true, steps: []step{hello, mail, rcpt, on("DATA\r\n.\r\n", 503)}},
		{name: "bad message leaves the session", messages: 1, steps: []step{
			hello, mail, rcpt, on("DATA\r\n", 354), on("a\nb\r\n.\r\n", 554), on("DATA\r\n", 503), mail, rcpt, on("DATA\r\n", 354), on(".\r\n", 250),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, file := startTestSink(t, SinkConfig{})
			for _, addr := range s.addrs {
				c := dialSink(t, addr)
				c.say("", 220)
				for _, st := range tt.steps {
					c.say(st.say, st.codes...)
				}
				if tt.over {
					c.wantEOF()
				}
			}
			if got := len(records[ledger.Arrival](t, file)); got != tt.messages*len(s.addrs) {
				t.Errorf("%d messages in the ledger, want %d by each of %v", got, tt.messages, s.addrs)
			}
		})
	}
}

// deliver sends one message over a new connection and gives the time from its end to the reply.
func (s *testSink) deliver(t *testing.T, data string, rcpts ...string) time.Duration {
	t.Helper()
	c := dialSink(t, s.addrs[0])
	c.say("EHLO c\r\n", 220, 250)
	c.say("MAIL FROM:<a@b>\r\n", 250)
	for _, r := range rcpts {
		c.say("RCPT TO:<"+r+">\r\n", 250)
	}
	c.say("DATA\r\n", 354)
	begin := time.Now()
	c.say(data+"\r\n.\r\n", 250)
	return time.Since(begin)
}

func TestSinkCountsDuplicates(t *testing.T) {
	s, file := startTestSink(t, SinkConfig{})
	id := "X-Mailha-Test-Id: r/1\r\n\r\nbody"
	s.deliver(t, id, "a@x", "b@x")
	s.deliver(t, id, "c@x")
	s.deliver(t, id, "A@x", "d@x")
	s.deliver(t, "no id", "a@x")
	s.deliver(t, "no id", "a@x")
	want := SinkCounts{Sessions: 5, Messages: 5, Recipients: 7, Duplicates: 1}
	if diff := cmp.Diff(want, s.snapshot()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	first := records[ledger.Arrival](t, file)[0]
	if first.ID != "r/1" || first.From != "a@b" || !slices.Equal(first.Rcpts, []string{"a@x", "b@x"}) ||
		first.Hash != letter.Hash([]byte("body\r\n")) || first.Size != len(id)+2 || time.Since(first.At) > time.Minute {
		t.Errorf("recorded %+v", first)
	}
}

func TestSinkDelay(t *testing.T) {
	const delay = 400 * time.Millisecond
	s, _ := startTestSink(t, SinkConfig{Delay: delay, DelayFor: "slow"})
	if took := s.deliver(t, "x", "quick@x", "very.slow@x"); took < delay {
		t.Errorf("the slow one took %v only", took)
	}

	// With a delay that nobody lives to see, only the quick one is answered.
	s, file := startTestSink(t, SinkConfig{Delay: time.Hour, DelayFor: "slow"})
	s.deliver(t, "x", "quick@x")

	// A client that gives up during the delay leaves its record: its next try is a duplicate.
	c := dialSink(t, s.addrs[0])
	c.say("EHLO c\r\n", 220, 250)
	c.say("MAIL FROM:<a@b>\r\nRCPT TO:<slow@x>\r\nDATA\r\n", 250, 250, 354)
	before := s.snapshot().Messages
	c.say("x\r\n.\r\n")
	waitUntil(t, 10*time.Second, "the slow message is recorded before its delay is over", func() bool {
		return len(records[ledger.Arrival](t, file)) == before+1
	})
	c.conn.Close()
}

func TestSinkStopsPolitely(t *testing.T) {
	s, _ := startTestSink(t, SinkConfig{Delay: time.Hour})
	idle, slow, talking := dialSink(t, s.addrs[0]), dialSink(t, s.addrs[1]), dialSink(t, s.addrs[0])
	idle.say("EHLO c\r\n", 220, 250)
	for _, c := range []*client{talking, slow} {
		c.say("EHLO c\r\n", 220, 250)
		c.say("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", 250, 250, 354)
	}
	talking.say("half a li")
	slow.say("x\r\n.\r\n")
	waitUntil(t, 5*time.Second, "the message is recorded", func() bool { return s.snapshot().Messages == 1 })
	s.stop()
	idle.say("", 421)
	talking.say("", 421)
	slow.say("", 250, 421) // what is recorded is told
	if err := <-s.served; err != nil {
		t.Error(err)
	}
}

func TestSinkRefusesWhatItCannotRecord(t *testing.T) {
	_, l := tempLedger(t)
	l.Close()
	s := serveTestSink(t, newSink(SinkConfig{}, l))
	c := dialSink(t, s.addrs[0])
	c.say("EHLO c\r\n", 220, 250)
	for range 2 {
		c.say("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", 250, 250, 354)
		c.say("x\r\n.\r\n", 451)
	}
	if got := s.snapshot(); got.Messages != 0 || got.Refused != 2 {
		t.Errorf("counts %+v", got)
	}
}

func TestListenAllOrNone(t *testing.T) {
	if _, err := listenAll(t.Context(), []string{"127.0.0.1:2525", "192.0.2.1:2525"}); err == nil {
		t.Fatal("listens on an address that it has not")
	}
	l, err := listenAll(t.Context(), []string{"127.0.0.1:2525"})
	if err != nil {
		t.Fatalf("the first listener was not closed: %v", err)
	}
	l[0].Close()
}
