// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// MinTTL is the shortest lease that makes sense with etcd, which counts in whole seconds.
const MinTTL = 2 * time.Second

// Term is how long a lease is.
type Term struct {
	// TTL is how long etcd keeps the lease after a renewal: whole seconds, MinTTL at least.
	TTL time.Duration
	// Margin is how long before that the holder has lost it, so that it has let go
	// when another one may take over. Under half of TTL; 0 is a fifth.
	Margin time.Duration
}

func (t Term) checked() (Term, error) {
	if t.Margin == 0 {
		t.Margin = t.TTL / 5
	}
	switch {
	case t.TTL < MinTTL || t.TTL%time.Second != 0:
		return t, fmt.Errorf("a lease of %s is not of whole seconds, %s or more", t.TTL, MinTTL)
	case t.Margin < 0 || t.Margin >= t.TTL/2:
		return t, fmt.Errorf("a margin of %s is not under half of the lease (%s)", t.Margin, t.TTL)
	}
	return t, nil
}

// landlord is the side that grants leases: etcd, or a test's double.
type landlord interface {
	// renew returns for how long from its arrival the lease is good, or an error:
	// that wraps ErrLost if the lease is known to be gone, any other if nothing is
	// known.
	renew(ctx context.Context) (time.Duration, error)
	// revoke ends the lease at once.
	revoke(ctx context.Context) error
	// agreed is until when all others have promised to take nothing, counted from
	// before they were asked; 0: not all have. It is asked when renew knows nothing.
	agreed() clock.Time
}

// Lease counts how long a session may be believed in. The count begins before a
// renewal was sent, because etcd may have begun then; and it is of CLOCK_BOOTTIME, which
// suspends with nobody and which no one can set.
type Lease struct {
	term  Term
	clock clock.Clock
	lord  landlord
	log   *slog.Logger

	mu       sync.Mutex
	sent     clock.Time // of the last renewal that was confirmed
	deadline clock.Time
	err      error         // why it was lost
	lost     chan struct{} // closed with err set
	silent   bool          // the last attempt got no answer
	tried    clock.Time    // when the last attempt began

	hasten chan struct{} // asks for the next attempt now
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// hold keeps a lease that was asked for at the time sent and granted for ttl.
func hold(term Term, granted time.Duration, sent clock.Time, c clock.Clock, lord landlord, log *slog.Logger) *Lease {
	ctx, stop := context.WithCancel(context.Background())
	l := &Lease{term: term, clock: c, lord: lord, log: log, lost: make(chan struct{}), hasten: make(chan struct{}, 1), stop: stop}
	l.sent, l.tried = sent, sent
	l.deadline = l.end(sent, granted)
	l.done.Go(func() { l.expire(ctx) })
	l.done.Go(func() { l.renew(ctx) })
	return l
}

// end is when a lease is lost that was granted for ttl by a request sent then. A
// longer one than was asked for does not count.
func (l *Lease) end(sent clock.Time, ttl time.Duration) clock.Time {
	return sent.Add(min(ttl, l.term.TTL) - l.term.Margin)
}

// Deadline is until when the lease may be believed in if no further renewal is
// confirmed, in time of clock.Boot.
func (l *Lease) Deadline() clock.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// Valid says whether the lease may be believed in now. It needs nobody's
// goroutine to have run: ask it before each step that only an owner may do.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && l.clock.Now().Before(l.deadline)
}

// Lost is closed when the lease is over. It never comes back: a new session is needed.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Err is why the lease is over, nil as long as it is not. It wraps ErrLost.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// lose ends the lease for its holder. The first reason stays.
func (l *Lease) lose(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = why
		close(l.lost)
	}
}

// confirm counts from a renewal. It comes too late if the lease had run out
// before, even if nobody has noticed: its holder may have been frozen, and must
// not act on what it held before.
func (l *Lease) confirm(sent clock.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || !l.clock.Now().Before(l.deadline) {
		return // expire tells
	}
	l.sent = sent
	l.deadline = max(l.deadline, l.end(sent, ttl))
}

// agree counts what the others have promised in the place of a renewal. A lease that had
// run out before is not revived by it either.
func (l *Lease) agree() {
	until := l.lord.agreed()
	if until == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || !l.silent || !l.clock.Now().Before(l.deadline) {
		return
	}
	l.deadline = max(l.deadline, until.Add(-l.term.Margin))
}

// expire watches the deadline, which moves as long as all is well, and looks again and
// again shortly before it what the others say.
func (l *Lease) expire(ctx context.Context) {
	early, each := l.term.TTL/10, l.term.TTL/200
	for {
		deadline := l.Deadline()
		err := l.clock.Wait(ctx, deadline.Add(-early))
		for err == nil && l.clock.Now().Before(deadline) {
			if l.agree(); l.Deadline() != deadline {
				break
			}
			err = l.clock.Wait(ctx, min(deadline, l.clock.Now().Add(each)))
		}
		if err != nil {
			if ctx.Err() == nil {
				l.lose(fmt.Errorf("%w: its deadline cannot be watched: %w", ErrLost, err))
			}
			return
		}
		if l.Deadline() == deadline {
			l.lose(fmt.Errorf("%w: no renewal was confirmed for %s; see whether etcd has a majority", ErrLost, l.term.TTL-l.term.Margin))
			return
		}
	}
}

// renew asks every third of the term, and after a failure more often.
func (l *Lease) renew(ctx context.Context) {
	l.mu.Lock()
	next := l.sent.Add(l.term.TTL / 3)
	l.mu.Unlock()
	for l.next(ctx, next) == nil {
		sent := l.clock.Now()
		l.mu.Lock()
		l.tried = sent
		l.mu.Unlock()
		// Short enough that a second and a third attempt, to other members of etcd,
		// fit before the deadline.
		attempt, cancel := until(ctx, l.clock, sent.Add(l.term.TTL/6))
		ttl, err := l.lord.renew(attempt)
		cancel()
		l.mu.Lock()
		l.silent = err != nil
		l.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			l.confirm(sent, ttl)
			next = sent.Add(l.term.TTL / 3)
		case errors.Is(err, ErrLost):
			l.lose(err)
			return
		default:
			// Whatever it was, nothing is confirmed.
			l.agree()
			l.log.Warn("the lease was not renewed", "error", err, "left", l.Deadline().Sub(l.clock.Now()).Round(time.Millisecond))
			next = l.clock.Now().Add(l.term.TTL / 12)
		}
	}
}

// next waits for the time of the next attempt, or until Hasten asks for it.
func (l *Lease) next(ctx context.Context, at clock.Time) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.hasten:
			cancel()
		case <-waiting.Done():
		}
	}()
	if err := l.clock.Wait(waiting, at); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

// Silent says whether the last attempt to renew got no answer. Attempts are seldom as
// long as they succeed; Hasten asks for one now, though not more often than they come
// after a failure.
func (l *Lease) Silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

// Hasten does not wait.
func (l *Lease) Hasten() {
	l.mu.Lock()
	due := l.tried.Add(l.term.TTL / 12)
	l.mu.Unlock()
	if l.clock.Now().Before(due) {
		return
	}
	select {
	case l.hasten <- struct{}{}:
	default:
	}
}

// release stops the renewals and gives up the claim. It does not revoke.
func (l *Lease) release(why error) {
	l.lose(why)
	l.stop()
	l.done.Wait()
}

// until is a context that ends at a time of the clock.
func until(ctx context.Context, c clock.Clock, at clock.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if c.Wait(ctx, at) == nil {
			cancel(context.DeadlineExceeded)
		}
	}()
	return ctx, func() { cancel(nil) }
}
