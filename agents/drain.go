// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/vip"
)

// drain closes the gate, lets clients and the service finish what they are at,
// and cuts what is left at the end of its time. Neither waits for the other: a
// client that idles must not use up the time of the work in hand.
func (s *Service) drain(ctx context.Context, rec record, until time.Time) Drained {
	begin := time.Now()
	var d Drained
	if err := s.closeGate(ctx, rec); err != nil {
		// A stop goes on: what cannot be refused is cut later.
		s.log.Warn("cannot close the gate", "error", err)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	p := &progress{s: s, rec: rec, until: until}
	var work sync.WaitGroup
	var workErr, sessionsErr error
	work.Go(func() {
		d.Left, workErr = s.steps.Drain(ctx, rec.Facts, func(left int) { p.work.Store(int64(left)) })
		p.work.Store(int64(d.Left))
	})
	var told sync.WaitGroup
	finished := make(chan struct{})
	told.Go(func() { p.tell(finished) })
	d.Sessions, d.Dismissed, d.Cut, sessionsErr = s.drainSessions(ctx, rec, p)
	work.Wait()
	close(finished)
	told.Wait()
	if d.Err = errors.Join(workErr, sessionsErr); d.Err != nil {
		s.log.Warn("drain did not finish", "error", d.Err)
	}
	d.Took = time.Since(begin)
	return d
}

// progress is what a drain shows while it runs.
type progress struct {
	s              *Service
	rec            record
	until          time.Time
	sessions, work atomic.Int64
}

// tell shows it every second.
func (p *progress) tell(finished <-chan struct{}) {
	const every = time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			return
		case <-tick.C:
		}
		sessions, work := int(p.sessions.Load()), int(p.work.Load())
		p.s.log.Info("draining", "sessions", sessions, "work", work, "seconds_left", int(time.Until(p.until).Seconds()))
		p.s.show(p.rec, Status{Phase: Draining, Sessions: sessions, Work: work, Deadline: p.until})
	}
}

// drainSessions waits until no client is connected, and has idle ones dismissed
// meanwhile. What is left when ctx ends is counted as cut: the stop that follows
// ends it.
func (s *Service) drainSessions(ctx context.Context, rec record, p *progress) (began, dismissed, cut int, err error) {
	if rec.unreachable() {
		return 0, 0, 0, nil
	}
	addrs, begin := rec.reach(), time.Now()
	if held := s.held(addrs); len(held) < len(addrs) {
		if addrs = held; len(addrs) == 0 {
			return 0, 0, 0, nil
		}
	}
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	leave := farewells{s: s, facts: rec.Facts, began: time.Now()}
	next := time.Now()
	for first := true; ; first = false {
		sessions, err := vip.Sessions(ctx, addrs, rec.Facts.Ports)
		if err != nil {
			return began, dismissed, cut, fmt.Errorf("count sessions: %w", err)
		}
		if first {
			began = len(sessions)
		}
		sessions = s.waitedFor(sessions, time.Since(begin))
		cut = len(sessions)
		p.sessions.Store(int64(cut))
		if cut == 0 {
			return began, dismissed, 0, nil
		}
		if now := time.Now(); !now.Before(next) {
			dismissed += leave.batch(ctx, sessions, began)
			next = now.Add(dismissEvery)
		}
		select {
		case <-ctx.Done():
			return began, dismissed, cut, nil
		case <-tick.C:
		}
	}
}

// held leaves out the addresses that the node has lost: their clients are not heard any
// more, and wait for the end of the stop as the stop would for them.
func (s *Service) held(addrs []netip.Addr) []netip.Addr {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return addrs
	}
	var held []netip.Addr
	for _, a := range addrs {
		if slices.ContainsFunc(own, func(o net.Addr) bool {
			p, err := netip.ParsePrefix(o.String())
			return err == nil && p.Addr().Unmap() == a
		}) {
			held = append(held, a)
		} else {
			s.log.Warn("address is gone; its sessions are not waited for", "addr", a)
		}
	}
	return held
}

// waitedFor leaves out the sessions that may be cut without harm.
func (s *Service) waitedFor(sessions []vip.Session, lasted time.Duration) []vip.Session {
	p, ok := s.steps.(Parter)
	if !ok {
		return sessions
	}
	return slices.DeleteFunc(sessions, func(session vip.Session) bool { return !p.Waits(session, lasted) })
}

const (
	// idleAfter is how long a client must have been waited for.
	idleAfter = 700 * time.Millisecond
	// closingAfter is that in the last third of a drain, when the choice is between
	// a word now and none at the end.
	closingAfter = 100 * time.Millisecond
	// hushed is how long the server must have said nothing: it may be in the middle
	// of a long answer.
	hushed = 50 * time.Millisecond
	// dismissEvery is the time between two batches.
	dismissEvery = 250 * time.Millisecond
	// batches are what all sessions are divided into: five seconds' worth.
	batches  = 20
	minBatch = 5
)

// showOut lets the service say goodbye to clients that have to be cut, of whom
// there may be some if they could not be counted.
func (s *Service) showOut(ctx context.Context, facts Facts, d Drained, until time.Time) {
	u, ok := s.steps.(Usher)
	if !ok || d.Cut == 0 && d.Err == nil {
		return
	}
	const patience = time.Second
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	ctx, cancelPatience := context.WithTimeout(ctx, patience)
	defer cancelPatience()
	if err := u.ShowOut(ctx, facts); err != nil {
		s.log.Warn("cannot say goodbye to all clients", "error", err)
	}
}

// farewells are the idle sessions that are ended politely, a batch at a time.
type farewells struct {
	s       *Service
	facts   Facts
	began   time.Time
	offered map[uint32]int // how often, by inode: not all that idle may be ended
	failed  string         // the last failure, which is told once
}

// batch ends a few of the idle sessions.
func (f *farewells) batch(ctx context.Context, sessions []vip.Session, began int) int {
	d, ok := f.s.steps.(Dismisser)
	if !ok {
		return 0
	}
	after, most := idleAfter, max(minBatch, began/batches)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadline.Sub(f.began)/3 {
		after, most = closingAfter, len(sessions)
	}
	batch := f.next(sessions, after, most)
	if len(batch) == 0 {
		return 0
	}
	n, err := d.Dismiss(ctx, f.facts, batch)
	if err != nil && err.Error() != f.failed {
		f.failed = err.Error()
		f.s.log.Warn("cannot end idle sessions politely", "error", err)
	}
	return n
}

// next chooses at most so many: first those that were offered least often, and
// of these the ones that idle longest. One that may not be ended, since it is
// within a transaction, must not keep others from their turn.
func (f *farewells) next(sessions []vip.Session, after time.Duration, most int) []vip.Session {
	idle := slices.DeleteFunc(slices.Clone(sessions), func(session vip.Session) bool {
		return session.Idle() < after || session.SinceSent < hushed
	})
	slices.SortFunc(idle, func(a, b vip.Session) int {
		return cmp.Or(cmp.Compare(f.offered[a.Inode], f.offered[b.Inode]), cmp.Compare(b.Idle(), a.Idle()))
	})
	idle = idle[:min(len(idle), most)]
	if f.offered == nil {
		f.offered = map[uint32]int{}
	}
	for _, session := range idle {
		f.offered[session.Inode]++
	}
	return idle
}
