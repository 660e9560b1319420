// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

var (
	errReplyTimeout = errors.New("no reply in time")
	errClosing      = errors.New("server closes the session")
)

// quitTimeout bounds the farewell: nothing depends on it any more.
const quitTimeout = 5 * time.Second

// loadSession is one SMTP session of the load, open from the server's 220 on. Replies are read as they come, so that
// the end of an idle session is seen when it happens, and a 421 before the reset that may follow it.
type loadSession struct {
	conn    net.Conn
	timeout time.Duration
	replies chan reply // closed at the connection's end
	closed  chan struct{}
	detach  func() bool // from the context that it was opened with
	readErr error       // why replies was closed
	sent    int         // messages that it was used for
}

// openSession connects and reads the greeting. The end of ctx ends the session.
func openSession(ctx context.Context, cfg LoadConfig) (*loadSession, error) {
	// A real MTA keeps nothing alive: a dead peer shows at the next command.
	d := net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: -1}
	conn, err := d.DialContext(ctx, "tcp", cfg.To)
	if err != nil {
		return nil, err
	}
	s := &loadSession{conn: conn, timeout: cfg.ReplyTimeout, replies: make(chan reply), closed: make(chan struct{})}
	s.detach = context.AfterFunc(ctx, func() { conn.Close() })
	go s.read()
	r, err := s.await(ctx)
	if err == nil && r.code != 220 {
		err = fmt.Errorf("greeting: %s", r)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *loadSession) read() {
	defer close(s.replies)
	br := bufio.NewReader(s.conn)
	for {
		r, err := readReply(br)
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

// close drops the connection. It is to be called once.
func (s *loadSession) close() {
	s.detach()
	close(s.closed)
	s.conn.Close()
}

// await gives the next reply; any error, errClosing for a 421 among them, is the session's end.
func (s *loadSession) await(ctx context.Context) (reply, error) {
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case r, ok := <-s.replies:
		if !ok {
			return reply{}, s.readErr
		}
		if r.code == codeClosing {
			return reply{}, fmt.Errorf("%w: %s", errClosing, r)
		}
		return r, nil
	case <-timer.C:
		return reply{}, errReplyTimeout
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// exchange sends data and gives the reply to it. sent tells whether all of data was handed to the kernel.
func (s *loadSession) exchange(ctx context.Context, data []byte) (r reply, sent bool, err error) {
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	_, writeErr := s.conn.Write(data)
	if errors.Is(writeErr, os.ErrDeadlineExceeded) {
		return reply{}, false, writeErr
	}
	// After a failed write, what the server said before it went tells more than the failure.
	r, err = s.await(ctx)
	if writeErr != nil && err == nil {
		err = writeErr
	}
	return r, writeErr == nil, err
}

func (s *loadSession) command(ctx context.Context, format string, args ...any) (reply, error) {
	r, _, err := s.exchange(ctx, fmt.Appendf(nil, format+"\r\n", args...))
	return r, err
}

// send makes one attempt. An error means that the session has ended; the outcome stands in either case.
func (s *loadSession) send(ctx context.Context, from string, m message) (out outcome, answer string, err error) {
	s.sent++
	for _, step := range []struct {
		line string
		code int
	}{
		{fmt.Sprintf("MAIL FROM:<%s>", from), 250},
		{fmt.Sprintf("RCPT TO:<%s>", m.rcpt), 250},
		{"DATA", 354},
	} {
		r, err := s.command(ctx, "%s", step.line)
		if err != nil {
			return refused, fmt.Sprintf("%.4s: %v", step.line, err), err
		}
		if r.code != step.code {
			_, err = s.command(ctx, "RSET")
			return refused, fmt.Sprintf("%.4s: %s", step.line, r), err
		}
	}
	r, sent, err := s.exchange(ctx, m.wire())
	switch {
	case err == nil && r.code == 250:
		return accepted, r.String(), nil
	case err == nil:
		return refused, "final dot: " + r.String(), nil
	case !sent || errors.Is(err, errClosing):
		// Without its final dot, or with a 421 for it, the message is not the server's.
		return refused, fmt.Sprintf("message: %v", err), err
	}
	return ambiguous, fmt.Sprintf("final dot: %v", err), err
}

// quit ends the session as the standard wants it: the server closes first.
func (s *loadSession) quit(ctx context.Context) {
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	if _, err := s.command(ctx, "QUIT"); err == nil {
		s.await(ctx)
	}
}
