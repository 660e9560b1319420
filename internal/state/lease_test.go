// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// double is a landlord whose answers a test gives.
type double struct {
	asked  chan struct{}
	answer chan answer
	until  clock.Time // what the others have agreed to
}

type answer struct {
	ttl time.Duration
	err error
}

func (d *double) renew(ctx context.Context) (time.Duration, error) {
	select {
	case d.asked <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case a := <-d.answer:
		return a.ttl, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (d *double) agreed() clock.Time { return d.until }

func (d *double) revoke(context.Context) error { return nil }

// stage is a lease of 12 s with a margin of 2 s, renewed each 4 s, whose
// attempts take at most 2 s, on a clock that the test moves.
type stage struct {
	t *testing.T
	*Lease
	*double
	clock *clock.Double
	begin clock.Time
}

func onStage(t *testing.T, play func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, double: &double{asked: make(chan struct{}), answer: make(chan answer)}, clock: clock.NewDouble()}
		s.begin = s.clock.Now()
		s.Lease = hold(Term{12 * time.Second, 2 * time.Second}, 12*time.Second, s.begin, s.clock, s.double, slog.New(slog.DiscardHandler))
		defer s.release(errClosed)
		synctest.Wait()
		play(s)
	})
}

// pass lets time pass, and all goroutines see it.
func (s *stage) pass(d time.Duration) {
	s.clock.Advance(d)
	synctest.Wait()
}

// await is that a renewal is asked for.
func (s *stage) await() {
	s.t.Helper()
	synctest.Wait()
	select {
	case <-s.asked:
	default:
		s.t.Fatal("no renewal is asked for")
	}
	synctest.Wait()
}

// give answers it.
func (s *stage) give(ttl time.Duration, err error) {
	s.answer <- answer{ttl, err}
	synctest.Wait()
}

func (s *stage) want(valid bool, deadline time.Duration) {
	s.t.Helper()
	lost := false
	select {
	case <-s.Lost():
		lost = true
	default:
	}
	if s.Valid() != valid || lost == valid || (s.Err() != nil) == valid {
		s.t.Errorf("want valid %t; got valid %t, lost %t, error %v", valid, s.Valid(), lost, s.Err())
	}
	if s.Err() != nil && !errors.Is(s.Err(), ErrLost) {
		s.t.Errorf("its error does not say that it is lost: %v", s.Err())
	}
	if got := s.Deadline().Sub(s.begin); got != deadline {
		s.t.Errorf("the deadline is %s after the grant was sent, want %s", got, deadline)
	}
}

func TestLeaseCountsFromBeforeTheRenewalWasSent(t *testing.T) {
	onStage(t, func(s *stage) {
		s.want(true, 10*time.Second)
		s.pass(4 * time.Second)
		s.await()
		s.pass(1900 * time.Millisecond) // on its way for long
		s.give(12*time.Second, nil)
		s.want(true, 14*time.Second)
		s.pass(2100 * time.Millisecond) // the next is 4 s after the last was sent
		s.await()
		s.give(12*time.Second, nil)
		s.want(true, 18*time.Second)
	})
}

func TestLeaseTakesNoMoreThanItAskedFor(t *testing.T) {
	onStage(t, func(s *stage) {
		s.pass(4 * time.Second)
		s.await()
		s.give(time.Hour, nil)
		s.want(true, 14*time.Second)
		s.pass(4 * time.Second)
		s.await()
		s.give(7*time.Second, nil) // shorter than what is confirmed: that stays
		s.want(true, 14*time.Second)
	})
}

func TestLeaseEndsWhenNothingIsConfirmed(t *testing.T) {
	for name, fail := range map[string]func(*stage){
		"silence": func(s *stage) { s.pass(2 * time.Second) },
		"errors":  func(s *stage) { s.give(0, errors.New("etcdserver: no leader")) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				attempts := 0
				s.pass(4 * time.Second)
				for s.Valid() {
					select {
					case <-s.asked:
						attempts++
						synctest.Wait()
						fail(s)
					default:
						s.pass(100 * time.Millisecond)
					}
				}
				s.want(false, 10*time.Second)
				if now := s.clock.Now().Sub(s.begin); now > 10100*time.Millisecond {
					t.Errorf("lost after %s", now)
				}
				if attempts < 2 {
					t.Errorf("only %d attempts were made", attempts)
				}
			})
		})
	}
}

func TestLeaseRecoversFromAFailedRenewal(t *testing.T) {
	onStage(t, func(s *stage) {
		s.pass(4 * time.Second)
		s.await()
		s.pass(2 * time.Second) // nobody answered: given up
		s.pass(time.Second)
		s.await()
		s.give(12*time.Second, nil)
		s.want(true, 17*time.Second)
	})
}

func TestLeaseEndsAtOnceWhenItIsKnownToBeGone(t *testing.T) {
	onStage(t, func(s *stage) {
		s.pass(4 * time.Second)
		s.await()
		s.give(0, errors.Join(errors.New("x"), ErrLost))
		s.want(false, 10*time.Second)
	})
}

// The machine was suspended, or all of the program frozen, with a renewal on its
// way that is confirmed after it woke.
func TestLeaseIsNotRevivedAfterItsDeadline(t *testing.T) {
	for name, asleep := range map[string]time.Duration{"to the moment": 6 * time.Second, "for an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.pass(4 * time.Second)
				s.await()
				s.clock.Advance(asleep)
				if s.Valid() {
					t.Error("valid before anybody else had run")
				}
				s.confirm(s.begin.Add(4*time.Second), 12*time.Second)
				synctest.Wait()
				s.want(false, 10*time.Second)
			})
		})
	}
}

func TestLeaseIsHeldWhileAllAgree(t *testing.T) {
	unknown := errors.New("etcd does not answer")
	agree := func(s *stage, until time.Duration) { s.until = s.begin.Add(until) }
	fail := func(s *stage, after time.Duration) {
		t.Helper()
		s.pass(after)
		s.await()
		s.give(0, unknown)
	}
	onStage(t, func(s *stage) {
		agree(s, 15*time.Second)
		s.want(true, 10*time.Second) // nobody is asked as long as etcd answers
		fail(s, 4*time.Second)
		s.want(true, 13*time.Second)
		agree(s, 3*time.Second) // less takes nothing away
		fail(s, time.Second)
		s.want(true, 13*time.Second)
		agree(s, 20*time.Second)
		fail(s, time.Second)
		s.want(true, 18*time.Second)
		s.pass(time.Second)
		s.await()
		s.give(12*time.Second, nil) // etcd is back, and what was promised stays
		s.want(true, 18*time.Second)
	})
	onStage(t, func(s *stage) {
		fail(s, 4*time.Second) // not all agree
		if !s.Silent() {
			t.Error("it does not say that etcd is silent")
		}
		s.want(true, 10*time.Second)
		s.pass(5500 * time.Millisecond)
		agree(s, 15*time.Second) // after the last attempt, and in time
		s.pass(150 * time.Millisecond)
		s.want(true, 13*time.Second)
	})
	onStage(t, func(s *stage) {
		s.pass(500 * time.Millisecond)
		s.Hasten() // too soon
		s.pass(600 * time.Millisecond)
		s.Hasten()
		s.await()
		s.give(12*time.Second, nil)
		s.want(true, 11100*time.Millisecond)
	})
	onStage(t, func(s *stage) {
		fail(s, 4*time.Second) // not all agree
		s.want(true, 10*time.Second)
		s.pass(time.Second)
		s.await()
		agree(s, time.Hour)
		s.pass(5 * time.Second) // too late
		s.want(false, 10*time.Second)
	})
	onStage(t, func(s *stage) {
		agree(s, time.Hour)
		s.pass(4 * time.Second)
		s.await()
		s.give(0, ErrLost) // etcd has a say, and it is no
		s.want(false, 10*time.Second)
	})
}

func TestTerm(t *testing.T) {
	for _, tt := range []struct {
		term Term
		want Term // zero if refused
	}{
		{Term{TTL: 10 * time.Second}, Term{10 * time.Second, 2 * time.Second}},
		{Term{2 * time.Second, 900 * time.Millisecond}, Term{2 * time.Second, 900 * time.Millisecond}},
		{Term{2 * time.Second, time.Second}, Term{}},
		{Term{2 * time.Second, -1}, Term{}},
		{Term{TTL: time.Second}, Term{}},
		{Term{TTL: 2500 * time.Millisecond}, Term{}},
		{Term{}, Term{}},
	} {
		got, err := tt.term.checked()
		if (err != nil) != (tt.want == Term{}) || err == nil && got != tt.want {
			t.Errorf("%v: got %v, %v", tt.term, got, err)
		}
	}
}
