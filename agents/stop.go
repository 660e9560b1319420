// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
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

	rec := s.remembered(ctx)
	if s.runs(ctx, rec.Facts) {
		d := s.drain(ctx, rec, times.Drain)
		s.log.Info("drained", "sessions", d.Sessions, "cut", d.Cut, "left", d.Left, "took", d.Took.Round(time.Millisecond))
	}
	err := errors.Join(
		s.stopUnit(ctx, rec.Facts, times.Kill),
		s.release(ctx, rec),
	)
	if err != nil {
		return err
	}
	return s.records().remove()
}

// remembered is what the start noted. Without it, what the parameters and the
// configuration say has to do, however little that is.
func (s *Service) remembered(ctx context.Context) record {
	rec, found, err := s.records().load()
	if err != nil {
		s.log.Warn("cannot read what the start noted", "error", err)
	}
	if found && err == nil {
		return rec
	}
	facts, err := s.steps.Inspect(ctx)
	if err != nil {
		s.log.Info("stopping without the service's configuration", "reason", err)
	}
	prefixes, err := s.Addresses.Prefixes()
	if err != nil {
		s.log.Warn("stopping without secondary addresses", "error", err)
	}
	return record{Facts: facts, Addresses: prefixes}
}

// runs says whether there may be something to drain.
func (s *Service) runs(ctx context.Context, facts Facts) bool {
	if facts.Unit == "" {
		return false
	}
	state, err := s.env.Units.State(ctx, facts.Unit)
	return err == nil && state.Running() == unit.Yes
}

// stopUnit stops the unit, in order until killAt and by SIGKILL after that, and
// then whatever else lives of the instance. It returns nil only if nothing does.
func (s *Service) stopUnit(ctx context.Context, facts Facts, killAt time.Time) error {
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
		return errors.Join(unitErr, err)
	}
	// Without systemd's word, that no process lives is proof enough.
	if errors.Is(unitErr, unit.ErrUnknown) && facts.Process.ControlGroup != "" {
		s.log.Warn("systemd did not answer; no process of the instance lives", "error", unitErr)
		return nil
	}
	return unitErr
}

func (s *Service) endUnit(ctx context.Context, name string, killAt time.Time) error {
	orderly, cancel := context.WithDeadline(ctx, killAt)
	defer cancel()
	err := s.env.Units.Stop(orderly, name)
	if err == nil {
		return nil
	}
	s.log.Warn("unit did not stop in order, killing it", "unit", name, "error", err)
	if err := s.env.Units.Kill(ctx, name, syscall.SIGKILL); err != nil {
		s.log.Warn("cannot kill the unit", "unit", name, "error", err)
	}
	if err := s.env.Units.Stop(ctx, name); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// release gives the addresses up before the gate goes, so that no connection
// slips in between.
func (s *Service) release(ctx context.Context, rec record) error {
	set, err := s.set(rec)
	if err != nil {
		return err
	}
	if set != nil {
		if err := set.Release(ctx); err != nil {
			return err
		}
	}
	if err := s.setGate(ctx, rec, vip.Open); err != nil {
		s.log.Warn("cannot remove the gate", "error", err)
	}
	return nil
}
