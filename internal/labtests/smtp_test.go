// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const patience = 10 * time.Second // of a client

// dial connects from a host outside of the nodes.
func dial(h *lab.Host, to string, within time.Duration) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = net.DialTimeout("tcp", to, within)
		return err
	})
	return conn, err
}

// session is a client's SMTP session.
type session struct {
	t    testing.TB
	conn net.Conn
	text *textproto.Conn
}

func newSession(t testing.TB, conn net.Conn) *session {
	return &session{t, conn, textproto.NewConn(conn)}
}

// connect begins a session, up to the answer to EHLO.
func connect(t testing.TB, h *lab.Host, to string) *session {
	t.Helper()
	conn, err := dial(h, net.JoinHostPort(to, "25"), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := newSession(t, conn)
	s.hear(220)
	s.say("EHLO client.test", 250)
	return s
}

// hear waits for a reply.
func (s *session) hear(code int) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := s.text.ReadResponse(code); err != nil {
		s.t.Fatalf("session: want %d, got %v", code, err)
	}
}

func (s *session) write(text string) {
	s.t.Helper()
	if _, err := s.conn.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		s.t.Fatalf("session: %v", err)
	}
}

func (s *session) say(line string, code int) {
	s.t.Helper()
	s.write(line + "\n")
	s.hear(code)
}

// begin goes up to the middle of a message's text.
func (s *session) begin(to string) {
	s.t.Helper()
	s.say("MAIL FROM:<sender@client.test>", 250)
	s.say("RCPT TO:<"+to+">", 250)
	s.say("DATA", 354)
	s.write("From: <sender@client.test>\nTo: <" + to + ">\nSubject: test\n\nFirst half.\n")
}

// finish ends what begin began; the server is responsible for the message then.
func (s *session) finish() {
	s.t.Helper()
	s.write("Second half.\n.\n")
	s.hear(250)
}

// cut waits until the server has ended the session.
func (s *session) cut(within time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	for buf := make([]byte, 512); ; {
		if _, err := s.conn.Read(buf); err != nil {
			if os.IsTimeout(err) {
				return err
			}
			return nil
		}
	}
}

// submit has messages accepted, one for each recipient.
func submit(t testing.TB, h *lab.Host, to string, recipients ...string) {
	t.Helper()
	s := connect(t, h, to)
	for _, rcpt := range recipients {
		s.begin(rcpt)
		s.finish()
	}
	s.say("QUIT", 221)
}
