// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/vip"
)

// Service is the common lifecycle of everything that runs as a systemd unit,
// with or without secondary addresses of its own. It has all of [Agent] but
// the parameters that a kind adds.
type Service struct {
	Addresses    Addresses
	DrainTimeout Duration
	GateMode     gateMode

	env   Env
	steps Steps
	log   *slog.Logger
}

// NewService returns the lifecycle with its defaults. Steps usually is the
// agent that embeds the Service.
func NewService(env Env, steps Steps) *Service {
	return &Service{
		Addresses:    NewAddresses(),
		DrainTimeout: Duration(20 * time.Second),
		GateMode:     "refuse",
		env:          env,
		steps:        steps,
		log:          env.Logger().With("resource", env.Instance),
	}
}

// Params is the part of the table that all services share.
func (s *Service) Params() Table {
	return append(s.Addresses.Params(false), Table{
		{Name: "drain_timeout", Value: &s.DrainTimeout, Reloadable: true,
			Short: "Most time that a stop gives to work in hand",
			Long:  "Clients may finish their sessions and the service its transactions for so long before the rest is cut. The timeout of the stop operation bounds it further: a reserve is always kept, so that a slow client never makes the operation fail."},
		{Name: "gate_mode", Value: &s.GateMode, Reloadable: true,
			Short: "What new connections meet while the service drains: refuse or hold",
			Long:  "With refuse they are reset at once. With hold their first packet is dropped, so that clients try again by themselves and meet the next node after a move."},
	}...)
}

// Validate checks the parameters, and from DepthProtocol on this node too.
func (s *Service) Validate(ctx context.Context, depth Depth) error {
	if err := s.Addresses.Check(); err != nil {
		return err
	}
	if depth < DepthProtocol {
		return nil
	}
	_, err := s.steps.Inspect(ctx)
	return err
}

// Reload has nothing to do here: each call reads the parameters anew.
func (s *Service) Reload(ctx context.Context) error { return s.Monitor(ctx, DepthShallow) }

// Monitor looks at unit, addresses and gate, and deeper if asked to.
func (s *Service) Monitor(ctx context.Context, depth Depth) error {
	rec, facts, err := s.facts(ctx)
	if err != nil {
		return err
	}
	state, err := s.env.Units.State(ctx, facts.Unit)
	if err != nil {
		return err
	}
	set, err := s.set(rec)
	if err != nil {
		return err
	}
	report, err := check(ctx, set)
	if err != nil {
		return err
	}
	switch {
	case state.Stopped() == unit.Yes && report.Absent():
		return s.notRunning(facts)
	case state.Running() != unit.Yes:
		return fmt.Errorf("unit %s is %s", facts.Unit, state)
	}
	if err := report.Err(); err != nil {
		return err
	}
	if err := s.gateIsOpen(ctx, rec, facts); err != nil {
		return err
	}
	s.refresh(ctx, set, rec)
	if depth < DepthProtocol {
		return nil
	}
	return s.steps.Check(ctx, facts, depth)
}

// notRunning tells a clean stop from one that left processes behind.
func (s *Service) notRunning(facts Facts) error {
	left, err := process.Find(facts.Process)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("unit %s is not active, but processes of the instance live: %s", facts.Unit, process.Names(left))
	}
	return fmt.Errorf("unit %s: %w", facts.Unit, ErrNotRunning)
}

// Start brings the service up behind a closed gate and then opens it.
func (s *Service) Start(ctx context.Context) error {
	facts, err := s.steps.Inspect(ctx)
	if err != nil {
		return err
	}
	if err := s.clearLeftovers(ctx, facts); err != nil {
		return err
	}
	prefixes, err := s.Addresses.Prefixes()
	if err != nil {
		return err
	}
	rec := record{Facts: facts, Addresses: prefixes, Interface: string(s.Addresses.NIC), Started: time.Now()}
	// What is about to be brought up is noted first, so that a stop finds it
	// whenever this start is cut off.
	if err := s.records().save(rec); err != nil {
		return err
	}
	if err := s.bringUp(ctx, rec); err != nil {
		return errors.Join(err, s.takeBack(ctx, rec))
	}
	return nil
}

func (s *Service) bringUp(ctx context.Context, rec record) error {
	// A start of what runs must not shut out its clients.
	if !s.runs(ctx, rec.Facts) {
		if err := s.setGate(ctx, rec, vip.Hold); err != nil {
			return err
		}
	}
	set, err := s.set(rec)
	if err != nil {
		return err
	}
	if err := take(ctx, set); err != nil {
		return err
	}
	// Announced before the service runs: behind the gate nobody can meet it
	// half open, and packets stop going to where the address was.
	s.announce(ctx, set, &rec)
	if err := s.env.Units.Start(ctx, rec.Facts.Unit); err != nil {
		return fmt.Errorf("%w%s", err, s.hint(err, rec.Facts))
	}
	if state, err := s.env.Units.State(ctx, rec.Facts.Unit); err == nil {
		rec.Facts.Process.ControlGroup = state.ControlGroup
	}
	if err := s.untilAnswers(ctx, rec.Facts); err != nil {
		return err
	}
	if err := s.setGate(ctx, rec, vip.Open); err != nil {
		return err
	}
	return s.records().save(rec)
}

// untilAnswers waits until the service speaks its protocol.
func (s *Service) untilAnswers(ctx context.Context, facts Facts) error {
	const pause = 10 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := s.steps.Check(ctx, facts, DepthProtocol)
		if err == nil || errors.Is(err, ErrDegraded) {
			return nil
		}
		// A unit that has died will not answer any more.
		if state, serr := s.env.Units.State(ctx, facts.Unit); serr == nil && state.Stopped() == unit.Yes {
			return fmt.Errorf("unit %s ended while starting (%s); journalctl -u %s says why", facts.Unit, state, facts.Unit)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unit %s is active but does not answer in time: %w", facts.Unit, err)
		case <-tick.C:
		}
	}
}

// clearLeftovers ends processes of the instance that live without its unit:
// children of a master that was killed go on listening.
func (s *Service) clearLeftovers(ctx context.Context, facts Facts) error {
	state, err := s.env.Units.State(ctx, facts.Unit)
	if err != nil {
		return err
	}
	if state.Stopped() != unit.Yes {
		return nil
	}
	left, err := process.Find(facts.Process)
	if err != nil || len(left) == 0 {
		return err
	}
	s.log.Warn("ending processes that an unclean end left", "processes", process.Names(left))
	const grace = 2 * time.Second // what they have in hand may finish
	_, err = process.End(ctx, grace, func() ([]process.Process, error) { return process.Find(facts.Process) })
	return err
}

// takeBack undoes a start that failed, addresses first: they are what clients
// and other nodes trip over.
func (s *Service) takeBack(ctx context.Context, rec record) error {
	// The start's own time may be used up.
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := errors.Join(s.release(ctx, rec), s.stopUnit(ctx, rec.Facts, time.Now().Add(patience/2)))
	if err != nil {
		return err
	}
	return s.records().remove()
}

// facts prefers what the start noted over what the parameters say now.
func (s *Service) facts(ctx context.Context) (record, Facts, error) {
	rec, found, err := s.records().load()
	if err != nil {
		return record{}, Facts{}, err
	}
	if found {
		return rec, rec.Facts, nil
	}
	facts, err := s.steps.Inspect(ctx)
	if err != nil && facts.Unit != "" {
		// What the configuration does not tell, unit and processes still do.
		s.log.Debug("looking without the service's configuration", "reason", err)
		err = nil
	}
	return record{}, facts, err
}

func (s *Service) records() records { return records{dir: s.env.StateDir, instance: s.env.Instance} }

func (s *Service) set(rec record) (*vip.Set, error) {
	return s.Addresses.Set(s.env.Instance, rec.Addresses, s.env.Logger())
}

// take brings the addresses up, and says so if another node could have.
func take(ctx context.Context, set *vip.Set) error {
	if set == nil {
		return nil
	}
	err := set.Take(ctx)
	for _, cause := range []error{vip.ErrNoInterface, vip.ErrAmbiguous, vip.ErrNotEthernet} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", ErrInstalled, err)
		}
	}
	return err
}

// check finds nothing where there are no addresses.
func check(ctx context.Context, set *vip.Set) (vip.Report, error) {
	if set == nil {
		return nil, nil
	}
	return set.Check(ctx)
}

func (s *Service) hint(err error, facts Facts) string {
	if errors.Is(err, unit.ErrNotFound) || errors.Is(err, unit.ErrMasked) {
		return ""
	}
	return fmt.Sprintf("; journalctl -u %s says why", facts.Unit)
}
