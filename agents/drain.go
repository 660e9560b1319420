// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mailha/mailha/vip"
)

// drain closes the gate, lets clients and the service finish what they are at,
// and cuts what is left at the end of its time. Neither waits for the other: a
// client that idles must not use up the time of the work in hand.
func (s *Service) drain(ctx context.Context, rec record, until time.Time) Drained {
	begin := time.Now()
	var d Drained
	if err := s.setGate(ctx, rec, s.GateMode.mode()); err != nil {
		// A stop goes on: what cannot be refused is cut later.
		s.log.Warn("cannot close the gate", "error", err)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var work sync.WaitGroup
	var workErr, sessionsErr error
	work.Go(func() { d.Left, workErr = s.steps.Drain(ctx, rec.Facts) })
	d.Sessions, d.Cut, sessionsErr = s.drainSessions(ctx, rec)
	work.Wait()
	if d.Err = errors.Join(workErr, sessionsErr); d.Err != nil {
		s.log.Warn("drain did not finish", "error", d.Err)
	}
	d.Took = time.Since(begin)
	return d
}

// drainSessions waits until no client is connected. What is left when ctx ends
// is counted as cut: the stop that follows ends it.
func (s *Service) drainSessions(ctx context.Context, rec record) (began, cut int, err error) {
	addrs := hosts(rec.Addresses)
	if len(addrs) == 0 && len(rec.Facts.Ports) == 0 {
		return 0, 0, nil // nothing says which sessions are this service's
	}
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	told := time.Now()
	for first := true; ; first = false {
		sessions, err := vip.Sessions(ctx, addrs, rec.Facts.Ports)
		if err != nil {
			return began, cut, fmt.Errorf("count sessions: %w", err)
		}
		cut = len(sessions)
		if first {
			began = cut
		}
		if cut == 0 {
			return began, 0, nil
		}
		if now := time.Now(); now.Sub(told) >= time.Second {
			deadline, _ := ctx.Deadline()
			s.log.Info("draining", "sessions", cut, "seconds_left", int(deadline.Sub(now).Seconds()))
			told = now
		}
		select {
		case <-ctx.Done():
			return began, cut, nil
		case <-tick.C:
		}
	}
}
