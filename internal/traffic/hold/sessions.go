// SPDX-License-Identifier: Apache-2.0

package hold

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// openIMAP logs a user in and selects the mailbox.
func (h *holder) openIMAP(ctx context.Context, i int) (*imap.Session, error) {
	s, err := imap.Dialer{To: h.cfg.IMAP, ConnectTimeout: h.cfg.ConnectTimeout, ReplyTimeout: h.cfg.ReplyTimeout}.Open(ctx)
	if err != nil {
		return nil, err
	}
	user := h.users[i%len(h.users)]
	refusal, err := s.Login(ctx, user.Name, user.Password)
	if err == nil && refusal == "" {
		refusal, err = s.Examine(ctx, h.cfg.Mailbox)
	}
	if err == nil && refusal != "" {
		err = errors.New(refusal)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// idle waits for news.
type idle struct{ *imap.Session }

func (h *holder) openIdle(ctx context.Context, i int) (session, error) {
	s, err := h.openIMAP(ctx, i)
	if err != nil {
		return nil, err
	}
	refusal, err := s.Idle(ctx)
	if err == nil && refusal != "" {
		err = errors.New(refusal)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return idle{s}, nil
}

func (s idle) hold(ctx context.Context) error {
	for {
		select {
		case r, open := <-s.Unasked():
			if err := s.Ended(r, open); err != nil {
				s.Close()
				return err
			}
		case <-ctx.Done():
			leave(ctx, func(ctx context.Context) {
				if s.Done(ctx) == nil {
					s.Quit(ctx)
				} else {
					s.Close()
				}
			})
			return errStopped
		}
	}
}

// leave gives a farewell time that ctx no longer has.
func leave(ctx context.Context, farewell func(ctx context.Context)) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	farewell(ctx)
}

// active asks for news at every beat.
type active struct {
	*imap.Session
	*holder
}

func (h *holder) openActive(ctx context.Context, i int) (session, error) {
	s, err := h.openIMAP(ctx, i)
	return active{s, h}, err
}

func (s active) hold(ctx context.Context) error {
	return beat(ctx, s.cfg.Beat, s.Session, func(ctx context.Context) error {
		r, err := s.Command(ctx, "NOOP", nil)
		if err == nil {
			s.count(func(c *Counts) { c.Active.add(r.Status() == "OK") })
		}
		return err
	})
}

// add counts a command.
func (k *Kind) add(ok bool) {
	if ok {
		k.Beats++
	} else {
		k.Refused++
	}
}

// connection is what sessions of all protocols have in common.
type connection[R any] interface {
	Unasked() <-chan R
	Ended(r R, open bool) error
	Quit(ctx context.Context)
	Close()
}

// beat does something at intervals until the session ends, or ctx does. What was begun is not broken off at the end of
// ctx.
func beat[R any](ctx context.Context, every time.Duration, s connection[R], do func(ctx context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := do(context.WithoutCancel(ctx)); err != nil {
				s.Close()
				return err
			}
		case r, open := <-s.Unasked():
			if err := s.Ended(r, open); err != nil {
				s.Close()
				return err
			}
		case <-ctx.Done():
			leave(ctx, s.Quit)
			return errStopped
		}
	}
}

// data is in the middle of a message.
type data struct {
	*smtp.Session
	*holder
	message letter.Message
	rest    []byte
	after   time.Duration
}

func (h *holder) openData(ctx context.Context, i int) (session, error) {
	const from = "hold@load.test"
	s, err := smtp.Dialer{To: h.cfg.SMTP, ConnectTimeout: h.cfg.ConnectTimeout, ReplyTimeout: h.cfg.ReplyTimeout}.Open(ctx)
	if err != nil {
		return nil, err
	}
	m := letter.Envelope{Run: h.cfg.Run, From: from, Rcpts: h.cfg.Rcpts}.Message(i, time.Now())
	wire := m.Wire()
	half := len(wire) / 2
	if err := begin(ctx, s, from, m.Rcpt, wire[:half]); err != nil {
		s.Close()
		return nil, err
	}
	return data{s, h, m, wire[half:], h.cfg.DataTimes[i%len(h.cfg.DataTimes)]}, nil
}

func begin(ctx context.Context, s *smtp.Session, from, rcpt string, text []byte) error {
	r, err := s.Command(ctx, "EHLO load.test")
	if err == nil && r.Code != 250 {
		err = fmt.Errorf("EHLO: %s", r)
	}
	if err != nil {
		return err
	}
	refusal, err := s.Begin(ctx, from, rcpt)
	if err == nil && refusal != "" {
		err = errors.New(refusal)
	}
	if err != nil {
		return err
	}
	return s.Write(text)
}

func (s data) hold(ctx context.Context) error {
	due := time.NewTimer(s.after)
	defer due.Stop()
	select {
	case <-due.C:
	case r, open := <-s.Unasked():
		s.Close()
		err := s.Ended(r, open)
		return errors.Join(err, s.record(ledger.Refused, err.Error()))
	case <-ctx.Done():
		s.Close()
		return errors.Join(errStopped, s.record(ledger.Refused, errStopped.Error()))
	}
	out, answer, err := s.Finish(context.WithoutCancel(ctx), s.rest)
	if err := s.record(out, answer); err != nil {
		s.Close()
		return err
	}
	if err != nil {
		s.Close()
		return err
	}
	s.count(func(c *Counts) { c.Data.add(out == ledger.Accepted) })
	leave(ctx, s.Quit)
	return nil
}

func (s data) record(out ledger.Outcome, answer string) error {
	m := s.message
	err := s.ledger.Append(ledger.Attempt{
		ID: m.ID, Outcome: out, Number: 1, Rcpt: m.Rcpt, Size: len(m.Data), Hash: m.Hash, Reply: ledger.Clip(answer), At: time.Now(),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnwritten, err)
	}
	return nil
}

// writer modifies an entry of its own at every beat.
type writer struct {
	*ldap.Session
	*holder
	entry string
}

func (h *holder) openWriter(ctx context.Context, i int) (session, error) {
	s, err := ldap.Dialer{To: h.cfg.LDAP, ConnectTimeout: h.cfg.ConnectTimeout, ReplyTimeout: h.cfg.ReplyTimeout}.Open(ctx)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-writer%d", h.cfg.Run, i)
	entry := "cn=" + name + "," + h.cfg.Base
	refusal, err := s.Bind(ctx, h.cfg.DN, h.password)
	if err == nil && refusal == "" {
		var out ledger.Outcome
		var answer string
		out, answer, err = s.Add(ctx, entry, ldap.Attribute{Name: "objectClass", Values: []string{"device"}}, ldap.Attribute{Name: "cn", Values: []string{name}})
		if out != ledger.Accepted {
			refusal = "add " + entry + ": " + answer
		}
	}
	if err == nil && refusal != "" {
		err = errors.New(refusal)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return writer{s, h, entry}, nil
}

func (s writer) hold(ctx context.Context) error {
	beats := 0
	return beat(ctx, s.cfg.Beat, s.Session, func(ctx context.Context) error {
		beats++
		out, _, err := s.Replace(ctx, s.entry, ldap.Attribute{Name: "description", Values: []string{fmt.Sprintf("beat %d", beats)}})
		if err == nil {
			s.count(func(c *Counts) { c.Writers.add(out == ledger.Accepted) })
		}
		return err
	})
}
