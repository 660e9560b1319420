// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// sinkName is what the sink calls itself. An MTA takes a peer of its own name for a mail loop, so no node may have it.
const sinkName = "sink.test"

// Limits of the sink.
const (
	// maxCommand is RFC 5321's 512 octets with what SIZE and BODY add, without the CRLF.
	maxCommand    = 512 + 26 + 17 - 2
	maxRecipients = 1000
	maxMessage    = 64 << 20
	sinkTimeout   = 5 * time.Minute // RFC 5321 section 4.5.3.2.7
)

// SinkCounts tells what a sink has seen since it started. It is its progress line and its summary.
type SinkCounts struct {
	Sessions   int `json:"sessions"`
	Messages   int `json:"messages"`   // recorded in the ledger
	Recipients int `json:"recipients"` // of the recorded messages
	Duplicates int `json:"duplicates"` // recipients who had the same message before
	Refused    int `json:"refused"`    // messages and commands answered with 4xx or 5xx
}

// sink is a strict SMTP server that keeps nothing of a message but a record.
type sink struct {
	cfg    SinkConfig
	ledger *ledger.Ledger

	mu     sync.Mutex
	counts SinkCounts
	seen   map[delivery]struct{}
}

// delivery is one message for one recipient.
type delivery struct{ id, rcpt string }

func newSink(cfg SinkConfig, l *ledger.Ledger) *sink {
	return &sink{cfg: cfg, ledger: l, seen: make(map[delivery]struct{})}
}

// listenAll opens every address or none.
func listenAll(ctx context.Context, addrs []string) ([]net.Listener, error) {
	var lc net.ListenConfig
	// Plain TCP, as the peers of an MTA speak it.
	lc.SetMultipathTCP(false)
	var listeners []net.Listener
	for _, addr := range addrs {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return nil, fmt.Errorf("sink: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// serve runs until ctx ends or a listener fails, ends the sessions with a 421 and closes the listeners.
func (s *sink) serve(ctx context.Context, listeners []net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, l := range listeners {
		context.AfterFunc(ctx, func() { l.Close() })
		wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					cancel(err) // of no effect when ctx ended first
					return
				}
				wg.Go(func() { s.session(ctx, conn) })
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("sink: %w", err)
	}
	return nil
}

func (s *sink) count(change func(*SinkCounts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

func (s *sink) snapshot() SinkCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// record puts a message in the ledger and only then in the counts.
func (s *sink) record(r ledger.Arrival) error {
	if err := s.ledger.Append(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Messages++
	s.counts.Recipients += len(r.Rcpts)
	if r.ID == "" {
		return nil
	}
	for _, rcpt := range r.Rcpts {
		d := delivery{r.ID, strings.ToLower(rcpt)}
		if _, again := s.seen[d]; again {
			s.counts.Duplicates++
		}
		s.seen[d] = struct{}{}
	}
	return nil
}

// delayFor gives how long the final reply for these recipients is held back.
func (s *sink) delayFor(rcpts []string) time.Duration {
	if slices.ContainsFunc(rcpts, func(rcpt string) bool { return strings.Contains(rcpt, s.cfg.DelayFor) }) {
		return s.cfg.Delay
	}
	return 0
}

// sinkSession is one connection to the sink.
type sinkSession struct {
	*sink
	conn   net.Conn
	lines  smtp.LineReader
	out    *bufio.Writer
	hello  string // EHLO, HELO or empty
	mail   bool   // a transaction is open
	sender string
	rcpts  []string
}

func (s *sink) session(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	s.count(func(c *SinkCounts) { c.Sessions++ })
	ss := &sinkSession{sink: s, conn: conn, out: bufio.NewWriter(conn)}
	ss.lines.Reader = bufio.NewReader(conn)
	ss.reply("220 " + sinkName + " ESMTP")
	for !ss.step(ctx) {
	}
	ss.out.Flush()
}

// step answers one command and reports whether the session is over.
func (s *sinkSession) step(ctx context.Context) (over bool) {
	// Replies to a pipelined group go out together (RFC 2920 section 3.2).
	if s.lines.Reader.Buffered() == 0 && s.out.Flush() != nil {
		return true
	}
	line, err := s.line(ctx, maxCommand)
	switch {
	case errors.Is(err, smtp.ErrLongLine):
		s.refuse("500 5.5.6 Line too long")
		return false
	case errors.Is(err, smtp.ErrBareLineEnd):
		s.refuse("500 5.5.2 Line end other than CRLF")
		return false
	case err != nil:
		return s.hangUp(ctx, err)
	}
	cmd, err := parseCommand(string(line))
	if err != nil {
		s.refuse(err.Error())
		return false
	}
	switch cmd.verb {
	case "EHLO", "HELO", "DATA":
		if s.lines.Reader.Buffered() > 0 {
			s.refuse("503 5.5.0 This command must be the last of a pipelined group")
			return true
		}
	case "QUIT":
		s.reply("221 2.0.0 Bye")
		return true
	}
	if cmd.verb == "DATA" {
		return s.data(ctx)
	}
	s.answer(cmd)
	return false
}

// line reads the next line; the session's deadline and the sink's end both interrupt it.
func (s *sinkSession) line(ctx context.Context, limit int) ([]byte, error) {
	s.conn.SetDeadline(time.Now().Add(sinkTimeout))
	if ctx.Err() != nil { // the line above may have undone what session does at the end of ctx
		s.conn.SetReadDeadline(time.Now())
	}
	return s.lines.Next(limit)
}

// hangUp says 421 where the client may still hear it.
func (s *sinkSession) hangUp(ctx context.Context, err error) (over bool) {
	if ctx.Err() != nil {
		s.reply("421 4.3.2 " + sinkName + " shutting down")
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		s.reply("421 4.4.2 " + sinkName + " timeout")
	}
	return true
}

func (s *sinkSession) reply(line string) { s.out.WriteString(line + "\r\n") }

func (s *sinkSession) refuse(line string) {
	s.count(func(c *SinkCounts) { c.Refused++ })
	s.reply(line)
}

func (s *sinkSession) reset() { s.mail, s.sender, s.rcpts = false, "", nil }

func (s *sinkSession) answer(cmd command) {
	switch cmd.verb {
	case "EHLO":
		s.hello = cmd.verb
		s.reset()
		s.reply(fmt.Sprintf("250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE %d\r\n250 ENHANCEDSTATUSCODES", sinkName, maxMessage))
	case "HELO":
		s.hello = cmd.verb
		s.reset()
		s.reply("250 " + sinkName)
	case "MAIL":
		s.answerMail(cmd)
	case "RCPT":
		s.answerRcpt(cmd)
	case "RSET":
		s.reset()
		s.reply("250 2.0.0 Ok")
	case "NOOP":
		s.reply("250 2.0.0 Ok")
	case "VRFY":
		s.reply("252 2.5.0 Send some mail and see")
	}
}

func (s *sinkSession) answerMail(cmd command) {
	switch {
	case s.hello == "" || s.mail:
		s.refuse(string(badSequence))
	case cmd.params && s.hello != "EHLO":
		s.refuse(string(badParameter))
	case cmd.size > maxMessage:
		s.refuse("552 5.3.4 Message too big")
	default:
		s.mail, s.sender = true, cmd.mailbox
		s.reply("250 2.1.0 Ok")
	}
}

func (s *sinkSession) answerRcpt(cmd command) {
	switch {
	case !s.mail:
		s.refuse(string(badSequence))
	case len(s.rcpts) == maxRecipients:
		s.refuse("452 4.5.3 Too many recipients")
	default:
		s.rcpts = append(s.rcpts, cmd.mailbox)
		s.reply("250 2.1.5 Ok")
	}
}

// data receives a message, records it, holds the reply back as told, and answers. The record comes before the delay,
// as in a store that is slow to answer: a client that is killed meanwhile will deliver again, and the ledger shows it.
func (s *sinkSession) data(ctx context.Context) (over bool) {
	if len(s.rcpts) == 0 {
		s.refuse(string(badSequence))
		return false
	}
	s.reply("354 End data with <CR><LF>.<CR><LF>")
	if s.out.Flush() != nil {
		return true
	}
	rec, err := s.receive(ctx)
	if bad, ok := errors.AsType[refusal](err); ok {
		s.refuse(bad.Error())
		s.reset()
		return false
	}
	if err != nil {
		return s.hangUp(ctx, err)
	}
	rec.From, rec.Rcpts, rec.At = s.sender, s.rcpts, time.Now()
	if err := s.record(rec); err != nil {
		s.refuse("451 4.3.0 Ledger not written")
		s.reset()
		return false
	}
	select {
	case <-time.After(s.delayFor(s.rcpts)):
	case <-ctx.Done():
	}
	s.reset()
	s.reply("250 2.0.0 Ok: recorded")
	return false
}

// receive reads a message to its end. Only a lone dot between two CRLF ends it; whatever is wrong with the message is
// told afterwards, so that its text is never taken for commands.
func (s *sinkSession) receive(ctx context.Context) (ledger.Arrival, error) {
	var rec ledger.Arrival
	var wrong error
	hash := sha256.New()
	inBody, start := false, true
	for {
		// The dot that stuffing added comes on top of the longest line.
		line, err := s.line(ctx, letter.MaxTextLine+1)
		atStart := start
		start = s.lines.CRLF
		switch {
		case errors.Is(err, smtp.ErrLongLine):
			wrong = refusal("554 5.6.0 Line longer than 998 octets")
			continue
		case errors.Is(err, smtp.ErrBareLineEnd):
			wrong = refusal("554 5.6.0 Line end other than CRLF")
			continue
		case err != nil:
			return ledger.Arrival{}, err
		}
		if atStart && bytes.HasPrefix(line, []byte(".")) {
			if line = line[1:]; len(line) == 0 {
				break
			}
		}
		if len(line) > letter.MaxTextLine {
			wrong = refusal("554 5.6.0 Line longer than 998 octets")
		}
		if rec.Size += len(line) + 2; rec.Size > maxMessage {
			wrong = refusal("552 5.3.4 Message too big")
		}
		switch {
		case inBody:
			hash.Write(line)
			hash.Write([]byte("\r\n"))
		case len(line) == 0:
			inBody = true
		case rec.ID == "":
			rec.ID = letter.IDFromHeader(string(line))
		}
	}
	rec.Hash = hex.EncodeToString(hash.Sum(nil))
	return rec, wrong
}
