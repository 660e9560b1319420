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

// job is a message on its way; it has no content, which its number gives.
type job struct {
	seq, attempts int
	created, due  time.Time
}

// attempted is a job with what became of it.
type attempted struct {
	job
	accepted bool
	err      error // the ledger's
}

// load sends messages until it is told to stop, then goes on with those refused until all are accepted or the grace
// is over.
type load struct {
	cfg    LoadConfig
	env    envelope
	ledger *ledger
	jobs   chan job
	done   chan attempted

	mu     sync.Mutex
	counts LoadCounts
}

func newLoad(cfg LoadConfig, l *ledger) *load {
	return &load{
		cfg: cfg, ledger: l,
		env:  envelope{run: cfg.Run, from: cfg.From, domain: cfg.RcptDomain, seed: cfg.Seed},
		jobs: make(chan job), done: make(chan attempted),
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
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(max(0, l.cfg.Grace)):
			cancel()
		case <-work.Done():
		}
	})()
	var wg sync.WaitGroup
	for range l.cfg.Sessions {
		wg.Go(func() { l.worker(work) })
	}
	err := l.dispatch(work, cancel, ctx.Done())
	close(l.jobs)
	wg.Wait()
	return err
}

// dispatch hands the jobs out until nothing is left to do after stop, or work is over and no attempt is in flight.
func (l *load) dispatch(work context.Context, cancel context.CancelFunc, stop <-chan struct{}) error {
	var failed error
	b := backlog{limit: l.cfg.Messages, slot: time.Now(), interval: time.Duration(float64(time.Second) / float64(l.cfg.Rate))}
	timer := time.NewTimer(0)
	defer timer.Stop()
	over := work.Done()
	for !b.empty() {
		var out chan<- job
		now := time.Now()
		j, at, ok := b.first(now)
		timer.Stop()
		if wait := at.Sub(now); ok && wait > 0 {
			timer.Reset(wait)
		} else if ok {
			out = l.jobs
		}
		select {
		case out <- j:
			b.take(j, now)
		case a := <-l.done:
			b.settle(a)
			if a.err != nil {
				failed = a.err
				cancel()
			}
		case <-timer.C:
		case <-stop:
			stop, b.stopped = nil, true
		case <-over:
			over, b.stopped, b.over = nil, true, true
		}
		l.count(func(c *LoadCounts) { c.InFlight, c.Retrying = b.inFlight, len(b.retries) })
	}
	return failed
}

// worker keeps one session at a time, opened for a job and used for PerSession jobs.
func (l *load) worker(ctx context.Context) {
	var s *loadSession
	for {
		var unasked <-chan reply // a server that speaks while the session is idle ends it
		if s != nil {
			unasked = s.replies
		}
		select {
		case j, ok := <-l.jobs:
			if !ok {
				if s != nil {
					s.quit(ctx)
				}
				return
			}
			s = l.attempt(ctx, s, j)
		case r, ok := <-unasked:
			err := errors.New("reply to nothing")
			if !ok {
				err = s.readErr
			} else if r.code == codeClosing {
				err = errClosing
			}
			l.ended(ctx, s, err)
			s = nil
		}
	}
}

// attempt sends a message, in a new session if s is nil, and gives the session if there is more use for it.
func (l *load) attempt(ctx context.Context, s *loadSession, j job) *loadSession {
	m := l.env.message(j.seq, j.created)
	out, answer := refused, ""
	s, err := l.session(ctx, s)
	if err != nil {
		answer = err.Error()
	} else {
		out, answer, err = s.send(ctx, l.cfg.From, m)
	}
	if s != nil && err != nil {
		l.ended(ctx, s, err)
		s = nil
	}
	l.done <- l.record(j, m, out, answer)
	if s != nil && s.sent >= l.cfg.PerSession {
		s.quit(ctx)
		return nil
	}
	return s
}

// record puts an attempt in the ledger and only then in the counts.
func (l *load) record(j job, m message, out outcome, answer string) attempted {
	now := time.Now()
	j.attempts++
	j.due = now.Add(l.cfg.Retry)
	err := l.ledger.append(sendRecord{
		ID: m.id, Outcome: out, Attempt: j.attempts, Rcpt: m.rcpt, Size: len(m.data), Hash: m.hash, Reply: clip(answer), At: now,
	})
	if err == nil {
		l.count(func(c *LoadCounts) {
			switch out {
			case accepted:
				c.Accepted++
			case refused:
				c.Refused++
			case ambiguous:
				c.Ambiguous++
			}
		})
	}
	return attempted{j, out == accepted, err}
}

// session gives s, or a new one that was greeted. An error comes with the session that it ends, if there is one.
func (l *load) session(ctx context.Context, s *loadSession) (*loadSession, error) {
	if s != nil {
		return s, nil
	}
	s, err := openSession(ctx, l.cfg)
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
	r, err := s.command(ctx, "EHLO %s", l.cfg.Helo)
	if err == nil && r.code != 250 {
		s.quit(ctx)
		return nil, fmt.Errorf("EHLO: %s", r)
	}
	return s, err
}

// ended closes a session that ended without our QUIT and counts it, unless it was us who stopped.
func (l *load) ended(ctx context.Context, s *loadSession, err error) {
	s.close()
	if ctx.Err() != nil {
		return
	}
	l.count(func(c *LoadCounts) {
		if errors.Is(err, errClosing) {
			c.Closing421++
		} else {
			c.Cut++
		}
	})
}

// clip keeps a foreign text to a length that fits a ledger.
func clip(s string) string { return s[:min(len(s), 500)] }
