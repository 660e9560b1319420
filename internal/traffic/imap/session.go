// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
)

// errReplyTimeout is a silence that was too long.
var errReplyTimeout = fmt.Errorf("no response: %w", os.ErrDeadlineExceeded)

// quitTimeout bounds the farewell: nothing depends on it any more.
const quitTimeout = 5 * time.Second

// Dialer says where to connect, and how long to wait. All fields are needed.
type Dialer struct {
	To             string // address with port
	ConnectTimeout time.Duration
	ReplyTimeout   time.Duration
}

// Session is one connection, open from the server's greeting on. Responses are read as they come, so that the end of an
// idle session is seen when it happens, and a BYE before the reset that may follow it.
type Session struct {
	conn      net.Conn
	timeout   time.Duration
	responses chan Response // closed at the connection's end
	closed    chan struct{}
	detach    func() bool // from the context that it was opened with
	readErr   error       // why responses was closed
	commands  int
}

// Open connects and reads the greeting. The end of ctx ends the session.
func (d Dialer) Open(ctx context.Context) (*Session, error) {
	// A client keeps nothing alive: a dead server shows at the next command.
	dialer := net.Dialer{Timeout: d.ConnectTimeout, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", d.To)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, timeout: d.ReplyTimeout, responses: make(chan Response), closed: make(chan struct{})}
	s.detach = context.AfterFunc(ctx, func() { conn.Close() })
	go s.read()
	r, err := s.await(ctx)
	if err == nil && (r.Tag != "*" || r.Status() != "OK") {
		err = fmt.Errorf("greeting: %s", r)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) read() {
	defer close(s.responses)
	br := bufio.NewReader(s.conn)
	for {
		r, err := ReadResponse(br)
		if err != nil {
			s.readErr = err
			return
		}
		select {
		case s.responses <- r:
		case <-s.closed:
			return
		}
	}
}

// Close drops the connection. It is to be called once.
func (s *Session) Close() {
	s.detach()
	close(s.closed)
	s.conn.Close()
}

// Unasked gives what the server says while nothing was asked, and is closed at the connection's end.
func (s *Session) Unasked() <-chan Response { return s.responses }

// Ended says why a session has ended whose Unasked gave r, or was closed. Without an error it has not: servers may say
// much unasked.
func (s *Session) Ended(r Response, open bool) error {
	switch {
	case !open:
		return s.readErr
	case r.Tag == "*" && r.Status() == "BYE":
		return fmt.Errorf("%w: %s", ending.ErrAnnounced, r)
	case r.Tag != "*":
		return fmt.Errorf("response to nothing: %s", r)
	}
	return nil
}

// await gives the next response; any error, [ending.ErrAnnounced] for a BYE among them, is the session's end.
func (s *Session) await(ctx context.Context) (Response, error) {
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case r, ok := <-s.responses:
		if !ok {
			return Response{}, s.readErr
		}
		if r.Tag == "*" && r.Status() == "BYE" {
			return Response{}, fmt.Errorf("%w: %s", ending.ErrAnnounced, r)
		}
		return r, nil
	case <-timer.C:
		return Response{}, errReplyTimeout
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// write sends all of data to the kernel, or fails.
func (s *Session) write(data []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	_, err := s.conn.Write(data)
	return err
}

// begin sends a command's first line and gives its tag.
func (s *Session) begin(ctx context.Context, line string) (tag string, err error) {
	s.commands++
	tag = fmt.Sprintf("c%d", s.commands)
	return tag, s.explain(ctx, s.write(fmt.Appendf(nil, "%s %s\r\n", tag, line)))
}

// explain gives what the server said before it went, which tells more than a write that failed.
func (s *Session) explain(ctx context.Context, writeErr error) error {
	if writeErr == nil {
		return nil
	}
	for {
		if _, err := s.await(ctx); err != nil {
			return err
		}
	}
}

// until reads responses up to one with the tag, or "+", and gives the others to each, which may be nil.
func (s *Session) until(ctx context.Context, tag string, each func(Response) error) (Response, error) {
	for {
		r, err := s.await(ctx)
		switch {
		case err != nil:
			return Response{}, err
		case r.Tag == tag || r.Tag == "+":
			return r, nil
		case r.Tag != "*":
			return Response{}, fmt.Errorf("response to nothing: %s", r)
		case each != nil:
			if err := each(r); err != nil {
				return Response{}, err
			}
		}
	}
}

// Command sends a command and gives its completion; untagged responses go to each, which may be nil. An error is the
// session's end, a completion with NO or BAD is none.
func (s *Session) Command(ctx context.Context, line string, each func(Response) error) (Response, error) {
	tag, err := s.begin(ctx, line)
	if err != nil {
		return Response{}, err
	}
	r, err := s.until(ctx, tag, each)
	if err == nil && r.Tag == "+" {
		err = fmt.Errorf("asked to go on with a whole command: %s", r)
	}
	return r, err
}

// quote makes a quoted string: RFC 9051 section 4.3.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Login authenticates. Without an error, a refusal is the server's no.
func (s *Session) Login(ctx context.Context, name, password string) (refusal string, err error) {
	r, err := s.Command(ctx, "LOGIN "+quote(name)+" "+quote(password), nil)
	if err == nil && r.Status() != "OK" {
		refusal = "LOGIN: " + r.Text
	}
	return refusal, err
}

// Examine selects a mailbox without the right to change it. Without an error, a refusal is the server's no.
func (s *Session) Examine(ctx context.Context, mailbox string) (refusal string, err error) {
	r, err := s.Command(ctx, "EXAMINE "+quote(mailbox), nil)
	if err == nil && r.Status() != "OK" {
		refusal = "EXAMINE: " + r.Text
	}
	return refusal, err
}

// Append stores a message. An error means that the session has ended; the outcome stands in either case.
func (s *Session) Append(ctx context.Context, mailbox string, data []byte) (out ledger.Outcome, answer string, err error) {
	tag, err := s.begin(ctx, fmt.Sprintf("APPEND %s {%d}", quote(mailbox), len(data)))
	if err != nil {
		return ledger.Refused, fmt.Sprintf("APPEND: %v", err), err
	}
	r, err := s.until(ctx, tag, nil)
	if err != nil || r.Tag != "+" {
		return ledger.Refused, fmt.Sprintf("APPEND: %s", failure(r, err)), err
	}
	if err := s.write(append(data, "\r\n"...)); err != nil {
		err = s.explain(ctx, err)
		return ledger.Refused, fmt.Sprintf("message: %v", err), err
	}
	r, err = s.until(ctx, tag, nil)
	switch {
	case err != nil: // after a BYE, too, the message may be there
		return ledger.Ambiguous, fmt.Sprintf("completion: %v", err), err
	case r.Tag == "+":
		err = fmt.Errorf("asked to go on: %s", r)
		return ledger.Ambiguous, err.Error(), err
	case r.Status() == "OK":
		return ledger.Accepted, r.Text, nil
	}
	return ledger.Refused, "completion: " + r.Text, nil
}

func failure(r Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return r.Text
}

// Idle begins to wait for news: RFC 9051 section 6.3.13. Done ends it. Without an error, a refusal is the server's no.
func (s *Session) Idle(ctx context.Context) (refusal string, err error) {
	tag, err := s.begin(ctx, "IDLE")
	if err != nil {
		return "", err
	}
	r, err := s.until(ctx, tag, nil)
	if err == nil && r.Tag != "+" {
		refusal = "IDLE: " + r.Text
	}
	return refusal, err
}

// Done ends Idle.
func (s *Session) Done(ctx context.Context) error {
	if err := s.explain(ctx, s.write([]byte("DONE\r\n"))); err != nil {
		return err
	}
	_, err := s.until(ctx, fmt.Sprintf("c%d", s.commands), nil)
	return err
}

// Quit ends the session as the standard wants it: the server says BYE and closes first.
func (s *Session) Quit(ctx context.Context) {
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	if _, err := s.begin(ctx, "LOGOUT"); err != nil {
		return
	}
	for {
		select {
		case _, ok := <-s.responses:
			if !ok {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
