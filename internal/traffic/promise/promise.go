// SPDX-License-Identifier: Apache-2.0

// Package promise has services take messages, over and over until each is
// taken, and writes down what became of every attempt: a service that said that
// it took one has made a promise, which an audit can hold it to.
//
// It must never try again what was taken, nor count what is not in the ledger.
package promise

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/pace"
)

// Counts tells what a load has done so far. It is its progress line and its summary.
type Counts struct {
	// Messages.
	Accepted int `json:"accepted"`  // taken by the service, in its own words
	InFlight int `json:"in_flight"` // being sent now
	Retrying int `json:"retrying"`  // waiting to be sent again; in the summary: given up at the end of the grace
	// Attempts that came to nothing.
	Refused   int `json:"refused"`   // certainly not taken
	Ambiguous int `json:"ambiguous"` // final reply never read
	// Sessions: from the server's greeting on, or from the connection where the protocol has none.
	Sessions  int `json:"sessions"`
	Cut       int `json:"sessions_cut"`       // ended by reset, EOF, timeout or gibberish, without our or the server's word
	Announced int `json:"sessions_announced"` // ended by the server with a word: 421, BYE, notice of disconnection
	// Connections that never became a session.
	ConnectRefused int `json:"connect_refused"`
	ConnectTimeout int `json:"connect_timeout"` // no connection or no greeting in time
	ConnectFailed  int `json:"connect_failed"`  // unreachable, ended or refused before the greeting
}

// Session is a connection on which messages are sent, one at a time. R is what the server says on it.
type Session[R any] interface {
	// Hello brings the session to where messages can be sent. Without an error, a refusal is the server's no.
	Hello(ctx context.Context) (refusal string, err error)
	// Send makes one attempt. An error means that the session has ended; the outcome stands in either case.
	Send(ctx context.Context, m letter.Message) (out ledger.Outcome, answer string, err error)
	// Unasked gives what the server says while nothing was asked, and is closed at the connection's end. Ended says
	// whether and why that ends the session.
	Unasked() <-chan R
	Ended(r R, open bool) error
	// Quit ends the session politely, Close at once. Either is called once.
	Quit(ctx context.Context)
	Close()
}

// Load has messages taken.
type Load[R any] struct {
	Plan    Plan
	Ledger  *ledger.Ledger
	Message func(seq int, created time.Time) letter.Message
	Open    func(ctx context.Context) (Session[R], error) // up to the greeting

	mu     sync.Mutex
	counts Counts
}

func (l *Load[R]) count(change func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counts)
}

// Counts gives what was done so far.
func (l *Load[R]) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Run returns when no message is left to send, the grace after the end of ctx is over, or the ledger can't be written.
func (l *Load[R]) Run(ctx context.Context) error {
	p := pace.Pacer{Rate: l.Plan.Rate, Limit: l.Plan.Messages, Retry: l.Plan.Retry, Grace: l.Plan.Grace, Workers: l.Plan.Sessions}
	return p.Run(ctx, l.worker, func(inFlight, retrying int) {
		l.count(func(c *Counts) { c.InFlight, c.Retrying = inFlight, retrying })
	})
}

// worker keeps one session at a time, opened for a job and used for PerSession jobs.
func (l *Load[R]) worker(ctx context.Context, jobs <-chan pace.Job, done chan<- pace.Attempted) {
	var s Session[R]
	sent := 0 // messages that the session was used for
	for {
		var unasked <-chan R // a server that speaks while the session is idle ends it
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
			if sent++; s != nil && sent >= l.Plan.PerSession {
				s.Quit(ctx)
				s = nil
			}
		case r, ok := <-unasked:
			if err := s.Ended(r, ok); err != nil {
				l.ended(ctx, s, err)
				s = nil
			}
		}
	}
}

// attempt sends a message, in a new session if s is nil, and gives the session if there is more use for it.
func (l *Load[R]) attempt(ctx context.Context, s Session[R], j pace.Job) (Session[R], pace.Attempted) {
	m := l.Message(j.Seq, j.Created)
	out, answer := ledger.Refused, ""
	s, err := l.session(ctx, s)
	if err != nil {
		answer = err.Error()
	} else {
		out, answer, err = s.Send(ctx, m)
	}
	if s != nil && err != nil {
		l.ended(ctx, s, err)
		s = nil
	}
	return s, l.record(j, m, out, answer)
}

// record puts an attempt in the ledger and only then in the counts.
func (l *Load[R]) record(j pace.Job, m letter.Message, out ledger.Outcome, answer string) pace.Attempted {
	err := l.Ledger.Append(ledger.Attempt{
		ID: m.ID, Outcome: out, Number: j.Attempts + 1, Rcpt: m.Rcpt, Size: len(m.Data), Hash: m.Hash, Reply: ledger.Clip(answer), At: time.Now(),
	})
	if err == nil {
		l.count(func(c *Counts) {
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

// session gives s, or a new one that is ready. An error comes with the session that it ends, if there is one.
func (l *Load[R]) session(ctx context.Context, s Session[R]) (Session[R], error) {
	if s != nil {
		return s, nil
	}
	s, err := l.Open(ctx)
	if err != nil {
		l.count(func(c *Counts) {
			switch ending.Of(err) {
			case ending.Refused:
				c.ConnectRefused++
			case ending.Timeout:
				c.ConnectTimeout++
			default:
				c.ConnectFailed++
			}
		})
		return nil, err
	}
	l.count(func(c *Counts) { c.Sessions++ })
	refusal, err := s.Hello(ctx)
	if err == nil && refusal != "" {
		s.Quit(ctx)
		return nil, fmt.Errorf("hello: %s", refusal)
	}
	return s, err
}

// ended closes a session that ended without our word and counts it, unless it was us who stopped.
func (l *Load[R]) ended(ctx context.Context, s Session[R], err error) {
	s.Close()
	if ctx.Err() != nil {
		return
	}
	l.count(func(c *Counts) {
		if ending.Of(err) == ending.Announced {
			c.Announced++
		} else {
			c.Cut++
		}
	})
}
