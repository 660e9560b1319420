// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/vip"
)

// defaultStopTime is what a stop has when its caller sets no deadline.
const defaultStopTime = time.Minute

// Stop drains and stops the service, gives its addresses up, and proves that
// nothing is left. It goes through all of its steps even when one fails: an
// address must not stay because a process does.
func (s *Service) Stop(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultStopTime)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	times := stopBudget(time.Now(), deadline, time.Duration(s.DrainTimeout))

	begin := time.Now()
	rec, noted := s.remembered(ctx)
	s.introduce(rec)
	err := s.stop(ctx, rec, noted, times)
	if err != nil {
		s.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	s.show(rec, Status{Phase: Stopped, Detail: "took " + time.Since(begin).Round(time.Millisecond).String()})
	return nil
}

func (s *Service) stop(ctx context.Context, rec record, noted bool, times budget) error {
	s.unwatch(rec)
	clean := false
	if s.runs(ctx, rec.Facts) {
		d := s.drain(ctx, rec, times.Drain)
		s.log.Info("drained", "sessions", d.Sessions, "dismissed", d.Dismissed, "cut", d.Cut, "left", d.Left, "took", d.Took.Round(time.Millisecond))
		clean = d.Complete() || s.cutsCleanly()
		s.showOut(ctx, rec.Facts, d, times.Kill)
	}
	s.show(rec, Status{Phase: Stopping})
	forced, stopErr := s.stopUnit(ctx, rec.Facts, times.Kill)
	releaseErr := s.release(ctx, rec)
	if clean && !forced && stopErr == nil {
		// Clients do not wait for that any more; what unmounts the file system would.
		s.noteCleanEnd(ctx, rec.Facts)
	}
	if err := errors.Join(stopErr, releaseErr); err != nil {
		return err
	}
	if !noted && len(rec.Addresses) == 0 {
		if err := s.records().unaccounted(ctx, slices.Concat(rec.Shared, s.Shared.Addrs())); err != nil {
			return err
		}
	}
	s.records().forget(s.log)
	return nil
}

// remembered is what the start noted, or else what can be supposed.
func (s *Service) remembered(ctx context.Context) (rec record, noted bool) {
	rec, found, err := s.noted()
	if err != nil {
		s.log.Warn("cannot read what the start noted", "error", err)
	}
	if found && err == nil {
		return rec, true
	}
	return s.supposed(ctx), false
}

// runs says whether there may be something to drain.
func (s *Service) runs(ctx context.Context, facts Facts) bool {
	if facts.Unit == "" {
		return false
	}
	const answer = 2 * time.Second // of a systemd that hangs, there is none
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	state, err := s.env.Units.State(ctx, facts.Unit)
	return err == nil && state.Running() == unit.Yes
}

// stopUnit stops the unit, in order until killAt and by SIGKILL after that, and
// then whatever else lives of the instance. It returns nil only if nothing does,
// and says whether force was needed.
func (s *Service) stopUnit(ctx context.Context, facts Facts, killAt time.Time) (forced bool, err error) {
	s.forbid(facts)
	var unitErr error
	if facts.Unit != "" {
		unitErr = s.endUnit(ctx, facts.Unit, killAt)
	}
	find := func() ([]process.Process, error) { return process.Find(facts.Process) }
	killed, err := process.End(ctx, max(time.Until(killAt), 0), find)
	if killed > 0 {
		s.log.Warn("processes had to be killed", "count", killed)
	}
	if err != nil {
		return true, errors.Join(unitErr, err)
	}
	if unitErr == nil {
		return killed > 0, nil
	}
	// Nothing is left that the unit could wait for. A systemd that hangs must not
	// keep the addresses here.
	deadline, _ := ctx.Deadline()
	brief, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	err = s.env.Units.Stop(brief, facts.Unit)
	// Without systemd's word, that no process lives is proof enough.
	if errors.Is(err, unit.ErrUnknown) && facts.Process.ControlGroup != "" {
		s.log.Warn("systemd did not answer; no process of the instance lives", "error", err)
		return true, nil
	}
	if err != nil {
		return true, fmt.Errorf("stop: %w", err)
	}
	return true, nil
}

// endUnit stops the unit until killAt, and has systemd kill what resists.
func (s *Service) endUnit(ctx context.Context, name string, killAt time.Time) error {
	orderly, cancel := context.WithDeadline(ctx, killAt)
	defer cancel()
	err := s.env.Units.Stop(orderly, name)
	if err == nil || errors.Is(err, unit.ErrUnknown) && orderly.Err() == nil {
		return err // asking again would only take time from ending the processes
	}
	s.log.Warn("unit did not stop in order, killing it", "unit", name, "error", err)
	// A systemd that hangs must not keep us from killing by ourselves.
	const answer = 500 * time.Millisecond
	brief, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	if err := s.env.Units.Kill(brief, name, syscall.SIGKILL); err != nil {
		s.log.Warn("cannot kill the unit", "unit", name, "error", err)
	}
	return err
}

// release gives the addresses up. All that can be done before is done before:
// from then on clients wait for the next node.
func (s *Service) release(ctx context.Context, rec record) error {
	set, err := s.set(rec)
	if err != nil {
		return err
	}
	if set == nil {
		s.removeGate(ctx, rec)
		return nil
	}
	// A port that nobody listens on refuses connections without a gate. One that
	// holds them has to stand until the address is gone, and so has that of a replica,
	// which listens on: who came in between would be left with nobody to answer.
	stands := s.GateMode.mode() == vip.Hold || rec.Promoted
	if !stands {
		s.removeGate(ctx, rec)
	}
	if err := set.Release(ctx); err != nil {
		return err
	}
	if stands {
		s.removeGate(ctx, rec)
	}
	return nil
}

// unwatch ends the watch for rivals early, since that takes the kernel a while.
func (s *Service) unwatch(rec record) {
	set, err := s.set(rec)
	if err == nil && set != nil {
		err = set.Unwatch()
	}
	if err != nil {
		s.log.Warn("cannot end the watch for rivals", "error", err)
	}
}

// removeGate does not fail a stop: a gate in front of nothing does no harm, and
// the next start sets its own.
func (s *Service) removeGate(ctx context.Context, rec record) {
	if err := s.setGate(ctx, rec, vip.Open); err != nil {
		s.log.Warn("cannot remove the gate", "error", err)
	}
}
