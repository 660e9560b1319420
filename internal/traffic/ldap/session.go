// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

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

// Session is one connection. Messages are read as they come, so that the end of an idle session is seen when it
// happens, and a notice of disconnection before the end that follows it.
type Session struct {
	conn     net.Conn
	timeout  time.Duration
	messages chan Message // closed at the connection's end
	closed   chan struct{}
	detach   func() bool // from the context that it was opened with
	readErr  error       // why messages was closed
	last     int64       // message id
}

// Open connects. The end of ctx ends the session.
func (d Dialer) Open(ctx context.Context) (*Session, error) {
	// A client keeps nothing alive: a dead server shows at the next request.
	dialer := net.Dialer{Timeout: d.ConnectTimeout, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", d.To)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, timeout: d.ReplyTimeout, messages: make(chan Message), closed: make(chan struct{})}
	s.detach = context.AfterFunc(ctx, func() { conn.Close() })
	go s.read()
	return s, nil
}

func (s *Session) read() {
	defer close(s.messages)
	br := bufio.NewReader(s.conn)
	for {
		p, err := ber.ReadPacket(br)
		var m Message
		if err == nil {
			m, err = parse(p)
		}
		if err != nil {
			s.readErr = err
			return
		}
		select {
		case s.messages <- m:
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
func (s *Session) Unasked() <-chan Message { return s.messages }

// Ended says why a session has ended whose Unasked gave m, or was closed.
func (s *Session) Ended(m Message, open bool) error {
	if !open {
		return s.readErr
	}
	return unsolicited(m)
}

// unsolicited says what a message means that answers nothing.
func unsolicited(m Message) error {
	if m.ID == 0 && m.OID == noticeOfDisconnection {
		return fmt.Errorf("%w: notice of disconnection, %s", ending.ErrAnnounced, m)
	}
	return fmt.Errorf("response to nothing: message %d, operation %d", m.ID, m.Op)
}

// await gives the next message that answers the last request; any error, [ending.ErrAnnounced] for a notice of
// disconnection among them, is the session's end.
func (s *Session) await(ctx context.Context) (Message, error) {
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case m, ok := <-s.messages:
		if !ok {
			return Message{}, s.readErr
		}
		if m.ID != s.last {
			return Message{}, unsolicited(m)
		}
		return m, nil
	case <-timer.C:
		return Message{}, errReplyTimeout
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// send sends a request. Sent tells whether all of it was handed to the kernel; if not, the error is what the server
// said before it went, which tells more than a write that failed.
func (s *Session) send(ctx context.Context, op *ber.Packet) (sent bool, err error) {
	s.last++
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.conn.Write(sequence(number(ber.TagInteger, s.last), op).Bytes()); err != nil {
		for {
			if _, err := s.await(ctx); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// ask sends a request and gives the result, one of the operation done; entries before it go to each. An error is the
// session's end.
func (s *Session) ask(ctx context.Context, op *ber.Packet, done ber.Tag, each func(Entry) error) (result Message, sent bool, err error) {
	if sent, err = s.send(ctx, op); err != nil {
		return Message{}, sent, err
	}
	for {
		m, err := s.await(ctx)
		switch {
		case err != nil:
			return Message{}, true, err
		case m.Op == done:
			return m, true, nil
		case m.Op == opEntry && each != nil:
			if err := each(m.Entry); err != nil {
				return Message{}, true, err
			}
		case m.Op != opReference:
			return Message{}, true, fmt.Errorf("%w: operation %d instead of %d", errMalformed, m.Op, done)
		}
	}
}

// Bind authenticates by a password. Without an error, a refusal is the server's no.
func (s *Session) Bind(ctx context.Context, dn, password string) (refusal string, err error) {
	m, _, err := s.ask(ctx, bindRequest(dn, password), opBindDone, nil)
	if err == nil && m.Code != codeSuccess {
		refusal = "bind: " + m.String()
	}
	return refusal, err
}

// Search gives all entries from base on to each. Without an error, a refusal is the server's no.
func (s *Session) Search(ctx context.Context, base string, scope int64, attributes []string, each func(Entry) error) (refusal string, err error) {
	m, _, err := s.ask(ctx, searchRequest(base, scope, attributes...), opSearchDone, each)
	if err == nil && m.Code != codeSuccess {
		refusal = "search: " + m.String()
	}
	return refusal, err
}

// Add makes an entry. It is accepted as well when it is there already: then an earlier attempt was taken. An error
// means that the session has ended; the outcome stands in either case.
func (s *Session) Add(ctx context.Context, dn string, attributes ...Attribute) (ledger.Outcome, string, error) {
	return s.change(ctx, addRequest(dn, attributes...), opAddDone, codeEntryExists)
}

// AddValues adds values to an entry, in the same way.
func (s *Session) AddValues(ctx context.Context, dn string, a Attribute) (ledger.Outcome, string, error) {
	return s.change(ctx, modifyRequest(dn, changeAdd, a), opModifyDone, codeValueExists)
}

// Replace gives an entry other values.
func (s *Session) Replace(ctx context.Context, dn string, a Attribute) (ledger.Outcome, string, error) {
	return s.change(ctx, modifyRequest(dn, changeReplace, a), opModifyDone, codeSuccess)
}

func (s *Session) change(ctx context.Context, op *ber.Packet, done ber.Tag, already int64) (ledger.Outcome, string, error) {
	m, sent, err := s.ask(ctx, op, done, nil)
	switch {
	case err == nil && (m.Code == codeSuccess || m.Code == already):
		return ledger.Accepted, m.String(), nil
	case err == nil:
		return ledger.Refused, m.String(), nil
	case !sent:
		return ledger.Refused, fmt.Sprintf("request: %v", err), err
	}
	return ledger.Ambiguous, fmt.Sprintf("result: %v", err), err
}

// Quit ends the session as the standard wants it: the server closes after the unbind.
func (s *Session) Quit(ctx context.Context) {
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, quitTimeout)
	defer cancel()
	if _, err := s.send(ctx, ber.Encode(ber.ClassApplication, ber.TypePrimitive, opUnbind, nil, "")); err != nil {
		return
	}
	select {
	case <-s.messages:
	case <-ctx.Done():
	}
}
