// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/pace"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// LoadCounts tells what a load has done so far. It is its progress line and its summary.
type LoadCounts struct {
	// Messages.
	Accepted int `json:"accepted"`  // with a 250
	InFlight int `json:"in_flight"` // being sent now
	Retrying int `json:"retrying"`  // waiting to be sent again; in the summary: given up at the end of the grace
	// Attempts that came to nothing.
	Refused   int `json:"refused"`   // certainly not taken
	Ambiguous int `json:"ambiguous"` // final reply never read
	// Sessions: from the server's 220 on.
	Sessions   int `json:"sessions"`
	Cut        int `json:"sessions_cut"` // ended by reset, EOF, timeout or gibberish, without our QUIT or a 421
	Closing421 int `json:"sessions_421"` // ended by the server with a 421
	// Connections that never became a session.
	ConnectRefused int `json:"connect_refused"`
	ConnectTimeout int `json:"connect_timeout"`
	ConnectFailed  int `json:"connect_failed"` // unreachable, ended or refused before the 220
}

// load sends messages until it is told to stop, then goes on with those refused until all are accepted or the grace
// is over.
type load struct {
	cfg    LoadConfig
	env    letter.Envelope
	ledger *ledger.Ledger

	mu     sync.Mutex
	counts LoadCounts
}

func newLoad(cfg LoadConfig, l *ledger.Ledger) *load {
	return &load{
		cfg: cfg, ledger: l,
		env: letter.Envelope{Run: cfg.Run, From: cfg.From, Rcpts: cfg.Rcpts, Domain: cfg.RcptDomain, Seed: cfg.Seed},
	}
}

func (l *load) count(change func(*LoadCounts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counts)
}

func (l *load) snapshot() LoadCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// run returns when no message is left to send, the grace after the end of ctx is over, or the ledger can't be written.
func (l *load) run(ctx context.Context) error {
	p := pace.Pacer{Rate: l.cfg.Rate, Limit: l.cfg.Messages, Retry: l.cfg.Retry, Grace: l.cfg.Grace, Workers: l.cfg.Sessions}
	return p.Run(ctx, l.worker, func(inFlight, retrying int) {
		l.count(func(c *LoadCounts) { c.InFlight, c.Retrying = inFlight, retrying })
	})
}

// worker keeps one session at a time, opened for a job and used for PerSession jobs.
func (l *load) worker(ctx context.Context, jobs <-chan pace.Job, done chan<- pace.Attempted) {
	var s *smtp.Session
	sent := 0 // messages that the session was used for
	for {
		var unasked <-chan smtp.Reply // a server that speaks while the session is idle ends it
		if s != nil {
			unasked = s.Unasked()
		}
		select {
		case j, ok := <-jobs:
			if !ok {
				if s != nil {
					s.Quit(ctx)
				}
				return
			}
			if s == nil {
				sent = 0
			}
			var a pace.Attempted
			s, a = l.attempt(ctx, s, j)
			done <- a
			if sent++; s != nil && sent >= l.cfg.PerSession {
				s.Quit(ctx)
				s = nil
			}
		case r, ok := <-unasked:
			l.ended(ctx, s, s.Ended(r, ok))
			s = nil
		}
	}
}

// attempt sends a message, in a new session if s is nil, and gives the session if there is more use for it.
func (l *load) attempt(ctx context.Context, s *smtp.Session, j pace.Job) (*smtp.Session, pace.Attempted) {
	m := l.env.Message(j.Seq, j.Created)
	out, answer := ledger.Refused, ""
	s, err := l.session(ctx, s)
	if err != nil {
		answer = err.Error()
	} else {
		out, answer, err = s.Send(ctx, l.cfg.From, m)
	}
	if s != nil && err != nil {
		l.ended(ctx, s, err)
		s = nil
	}
	return s, l.record(j, m, out, answer)
}

// record puts an attempt in the ledger and only then in the counts.
func (l *load) record(j pace.Job, m letter.Message, out ledger.Outcome, answer string) pace.Attempted {
	err := l.ledger.Append(ledger.Attempt{
		ID: m.ID, Outcome: out, Number: j.Attempts + 1, Rcpt: m.Rcpt, Size: len(m.Data), Hash: m.Hash, Reply: ledger.Clip(answer), At: time.Now(),
	})
	if err == nil {
		l.count(func(c *LoadCounts) {
			switch out {
			case ledger.Accepted:
				c.Accepted++
			case ledger.Refused:
				c.Refused++
			case ledger.Ambiguous:
				c.Ambiguous++
			}
		})
	}
	return pace.Attempted{Job: j, Taken: out == ledger.Accepted, Err: err}
}

// session gives s, or a new one that was greeted. An error comes with the session that it ends, if there is one.
func (l *load) session(ctx context.Context, s *smtp.Session) (*smtp.Session, error) {
	if s != nil {
		return s, nil
	}
	s, err := l.dialer().Open(ctx)
	if err != nil {
		l.count(func(c *LoadCounts) {
			switch ne, isNet := errors.AsType[net.Error](err); {
			case errors.Is(err, syscall.ECONNREFUSED):
				c.ConnectRefused++
			case isNet && ne.Timeout():
				c.ConnectTimeout++
			default:
				c.ConnectFailed++
			}
		})
		return nil, err
	}
	l.count(func(c *LoadCounts) { c.Sessions++ })
	r, err := s.Command(ctx, "EHLO %s", l.cfg.Helo)
	if err == nil && r.Code != 250 {
		s.Quit(ctx)
		return nil, fmt.Errorf("EHLO: %s", r)
	}
	return s, err
}

// ended closes a session that ended without our QUIT and counts it, unless it was us who stopped.
func (l *load) ended(ctx context.Context, s *smtp.Session, err error) {
	s.Close()
	if ctx.Err() != nil {
		return
	}
	l.count(func(c *LoadCounts) {
		if errors.Is(err, smtp.ErrClosing) {
			c.Closing421++
		} else {
			c.Cut++
		}
	})
}

func (l *load) dialer() smtp.Dialer {
	return smtp.Dialer{To: l.cfg.To, ConnectTimeout: l.cfg.ConnectTimeout, ReplyTimeout: l.cfg.ReplyTimeout}
}
