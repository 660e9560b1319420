// SPDX-License-Identifier: Apache-2.0

// Package smtp is a client's side of SMTP, which sees how a session ends.
//
// It must never call a message taken without having read the server's word.
package smtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
)

// errReplyTimeout is a silence that was too long.
var errReplyTimeout = fmt.Errorf("no reply: %w", os.ErrDeadlineExceeded)

// quitTimeout bounds the farewell: nothing depends on it any more.
const quitTimeout = 5 * time.Second

// Dialer says where to connect, and how long to wait. All fields are needed.
type Dialer struct {
	To             string // address with port
	ConnectTimeout time.Duration
	ReplyTimeout   time.Duration
}

// Session is one SMTP session, open from the server's 220 on. Replies are read as they come, so that the end of an idle
// session is seen when it happens, and a 421 before the reset that may follow it.
type Session struct {
	conn    net.Conn
	timeout time.Duration
	replies chan Reply // closed at the connection's end
	closed  chan struct{}
	detach  func() bool // from the context that it was opened with
	readErr error       // why replies was closed
}

// Open connects and reads the greeting. The end of ctx ends the session.
func (d Dialer) Open(ctx context.Context) (*Session, error) {
	// A real MTA keeps nothing alive: a dead peer shows at the next command.
	dialer := net.Dialer{Timeout: d.ConnectTimeout, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", d.To)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, timeout: d.ReplyTimeout, replies: make(chan Reply), closed: make(chan struct{})}
	s.detach = context.AfterFunc(ctx, func() { conn.Close() })
	go s.read()
	r, err := s.await(ctx)
	if err == nil && r.Code != 220 {
		err = fmt.Errorf("greeting: %s", r)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) read() {
	defer close(s.replies)
	br := bufio.NewReader(s.conn)
	for {
		r, err := ReadReply(br)
		if err != nil {
			s.readErr = err
			return
		}
		select {
		case s.replies <- r:
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

// Unasked gives what the server says while nothing was asked, and is closed at the connection's end: either ends the
// session. [Session.Ended] says why.
func (s *Session) Unasked() <-chan Reply { return s.replies }

// Ended says why a session has ended whose Unasked gave r, or was closed.
func (s *Session) Ended(r Reply, open bool) error {
	switch {
	case !open:
		return s.readErr
	case r.Code == CodeClosing:
		return fmt.Errorf("%w: %s", ending.ErrAnnounced, r)
	}
	return fmt.Errorf("reply to nothing: %s", r)
}

// await gives the next reply; any error, [ending.ErrAnnounced] for a 421 among them, is the session's end.
func (s *Session) await(ctx context.Context) (Reply, error) {
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case r, ok := <-s.replies:
		if !ok {
			return Reply{}, s.readErr
		}
		if r.Code == CodeClosing {
			return Reply{}, fmt.Errorf("%w: %s", ending.ErrAnnounced, r)
		}
		return r, nil
	case <-timer.C:
		return Reply{}, errReplyTimeout
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// Exchange sends data and gives the reply to it. Sent tells whether all of data was handed to the kernel. An error is
// the session's end.
func (s *Session) Exchange(ctx context.Context, data []byte) (r Reply, sent bool, err error) {
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	_, writeErr := s.conn.Write(data)
	if errors.Is(writeErr, os.ErrDeadlineExceeded) {
		return Reply{}, false, writeErr
	}
	// After a failed write, what the server said before it went tells more than the failure.
	r, err = s.await(ctx)
	if writeErr != nil && err == nil {
		err = writeErr
	}
	return r, writeErr == nil, err
}

// Write sends data that no reply comes to.
func (s *Session) Write(data []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	_, err := s.conn.Write(data)
	return err
}

// Command sends a line and gives the reply to it.
func (s *Session) Command(ctx context.Context, format string, args ...any) (Reply, error) {
	r, _, err := s.Exchange(ctx, fmt.Appendf(nil, format+"\r\n", args...))
	return r, err
}

// Begin opens a transaction, up to the server's 354. Without an error, an answer is a refusal, after which the session
// can go on.
func (s *Session) Begin(ctx context.Context, from, rcpt string) (refusal string, err error) {
	for _, step := range []struct {
		line string
		code int
	}{
		{fmt.Sprintf("MAIL FROM:<%s>", from), 250},
		{fmt.Sprintf("RCPT TO:<%s>", rcpt), 250},
		{"DATA", 354},
	} {
		r, err := s.Command(ctx, "%s", step.line)
		if err != nil {
			return "", fmt.Errorf("%.4s: %w", step.line, err)
		}
		if r.Code != step.code {
			_, err = s.Command(ctx, "RSET")
			return fmt.Sprintf("%.4s: %s", step.line, r), err
		}
	}
	return "", nil
}

// Finish sends the end of a message, its final dot included, and says what became of the message. An error means that
// the session has ended; the outcome stands in either case.
func (s *Session) Finish(ctx context.Context, data []byte) (out ledger.Outcome, answer string, err error) {
	r, sent, err := s.Exchange(ctx, data)
	switch {
	case err == nil && r.Code == 250:
		return ledger.Accepted, r.String(), nil
	case err == nil:
		return ledger.Refused, "final dot: " + r.String(), nil
	case !sent || errors.Is(err, ending.ErrAnnounced):
		// Without its final dot, or with a 421 for it, the message is not the server's.
		return ledger.Refused, fmt.Sprintf("message: %v", err), err
	}
	return ledger.Ambiguous, fmt.Sprintf("final dot: %v", err), err
}

// Send makes one attempt to have a message taken. An error means that the session has ended; the outcome stands in
// either case.
func (s *Session) Send(ctx context.Context, from string, m letter.Message) (out ledger.Outcome, answer string, err error) {
	refusal, err := s.Begin(ctx, from, m.Rcpt)
	switch {
	case err != nil && refusal == "":
		return ledger.Refused, err.Error(), err
	case refusal != "":
		return ledger.Refused, refusal, err
	}
	return s.Finish(ctx, m.Wire())
}

// Quit ends the session as the standard wants it: the server closes first.
func (s *Session) Quit(ctx context.Context) {
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	if _, err := s.Command(ctx, "QUIT"); err == nil {
		s.await(ctx)
	}
}
