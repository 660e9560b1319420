// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
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
	Shared       AddressList // of other resources
	Description  Text
	DrainTimeout Duration
	GateMode     GateMode

	env   Env
	steps Steps
	log   *slog.Logger
	board board
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
		board:        board{env},
	}
}

// Params is the part of the table that all services share.
func (s *Service) Params() Table {
	return append(append(s.Addresses.Params(false), SharedParam(&s.Shared), DescriptionParam(&s.Description)),
		DrainParams(&s.DrainTimeout, &s.GateMode)...)
}

// DrainParams are about the end of client sessions, the same for every service.
func DrainParams(timeout *Duration, mode *GateMode) Table {
	return Table{
		{Name: "drain_timeout", Value: timeout, Reloadable: true,
			Short: "Most time that a stop gives to work in hand",
			Long:  "Clients may finish their sessions and the service its transactions for so long before the rest is cut. The timeout of the stop operation bounds it further: a reserve is always kept, so that a slow client never makes the operation fail."},
		{Name: "gate_mode", Value: mode, Reloadable: true,
			Short: "What new connections meet while the service drains: refuse or hold",
			Long:  "With refuse they are reset at once. With hold their first packet is dropped, so that clients try again by themselves and meet the next node after a move."},
	}
}

// DescriptionParam is the same for every agent.
func DescriptionParam(v *Text) Param {
	return Param{Name: "description", Value: v, Reloadable: true,
		Short: "What the resource is for, in a few words",
		Long:  "Shown with its addresses in the status and in every log line, on whichever node it runs."}
}

// Validate checks the parameters, and from DepthProtocol on this node too.
func (s *Service) Validate(ctx context.Context, depth Depth) error {
	if err := s.Addresses.Check(); err != nil {
		return err
	}
	if depth < DepthProtocol {
		return nil
	}
	facts, _, err := s.inspect(ctx)
	if err == nil && len(s.Shared) > 0 && len(facts.Ports) == 0 {
		return &ParamError{Name: "shared_ip", Text: s.Shared.String(), Err: errors.New("needs ports, for other services are on these addresses, too")}
	}
	return err
}

// inspect reads what a start needs to know, and sees that systemd could start
// the unit: before an address is up, a node that lacks it disturbs nobody.
func (s *Service) inspect(ctx context.Context) (Facts, unit.State, error) {
	facts, err := s.steps.Inspect(ctx)
	if err != nil {
		return facts, unit.State{}, err
	}
	if err := facts.Mount.Check(ctx); err != nil {
		return facts, unit.State{}, fmt.Errorf("%w: %w", ErrInstalled, err)
	}
	state, err := s.env.Units.State(ctx, facts.Unit)
	switch {
	case err != nil:
		return facts, state, err
	case state.Running() == unit.Yes:
		return facts, state, nil
	case state.Load == "not-found":
		return facts, state, fmt.Errorf("%w: systemd knows no unit %s", ErrInstalled, facts.Unit)
	case state.Load == "masked":
		return facts, state, fmt.Errorf("%w: unit %s is masked (systemctl unmask %[2]s)", ErrInstalled, facts.Unit)
	}
	return facts, state, nil
}

// Reload has nothing to do here: each call reads the parameters anew.
func (s *Service) Reload(ctx context.Context) error { return s.Monitor(ctx, DepthShallow) }

// Monitor looks at unit, addresses and gate, and deeper if asked to.
func (s *Service) Monitor(ctx context.Context, depth Depth) error {
	rec, facts, err := s.facts(ctx)
	if err != nil {
		return err
	}
	state := unit.State{Active: "inactive"} // without a unit nothing can have been started
	if facts.Unit != "" {
		if state, err = s.env.Units.State(ctx, facts.Unit); err != nil {
			return err
		}
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
	if err := s.gateIsOpen(ctx, rec); err != nil {
		return err
	}
	s.refresh(ctx, set, rec)
	if err := lively(state); err != nil {
		return err
	}
	if err := facts.Mount.Check(ctx); err != nil || depth < DepthProtocol {
		return err
	}
	return s.look(ctx, facts, depth)
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

// Start brings the service up behind a closed gate and then opens it. A start
// that fails leaves nothing behind that was not there before.
func (s *Service) Start(ctx context.Context) error {
	prefixes, err := s.Addresses.Prefixes()
	if err != nil {
		return err
	}
	rec := record{Addresses: prefixes, Shared: s.Shared.Addrs(), Started: time.Now()}
	s.introduce(rec)
	s.show(rec, Status{Phase: Starting})
	set, err := s.set(rec)
	if err == nil {
		err = s.start(ctx, set, &rec)
	}
	if err != nil {
		s.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	s.show(rec, Status{Phase: Started, Detail: "took " + time.Since(rec.Started).Round(time.Millisecond).String()})
	return nil
}

func (s *Service) introduce(rec record) { s.log = introduced(s.env, rec, s.Description) }

func (s *Service) show(rec record, st Status) { s.board.show(rec, s.Description, st, s.log) }

func (s *Service) start(ctx context.Context, set *vip.Set, rec *record) error {
	// The node is inspected while the addresses are probed for: during a move
	// clients wait for both.
	inspected := make(chan struct{})
	var state unit.State
	var inspectErr error
	go func() {
		defer close(inspected)
		rec.Facts, state, inspectErr = s.inspect(ctx)
	}()
	touched := false
	err := takeWhen(ctx, set, func() error {
		<-inspected
		if inspectErr != nil {
			return inspectErr
		}
		touched = true
		return s.closeUp(ctx, *rec, state)
	})
	<-inspected // however the rest ended
	if err == nil {
		err = s.bringUp(ctx, set, *rec, state)
	}
	if err != nil && touched {
		return errors.Join(err, s.takeBack(ctx, *rec))
	}
	return err
}

// closeUp is the last step before clients can find the node. What is about to
// be brought up is noted first, so that a stop finds it whenever this start is
// cut off.
func (s *Service) closeUp(ctx context.Context, rec record, state unit.State) error {
	if err := s.records().save(rec); err != nil {
		return err
	}
	if state.Running() == unit.Yes {
		return nil // a start of what runs must not shut out its clients
	}
	return s.setGate(ctx, rec, vip.Hold)
}

// bringUp starts the service, with its addresses in place and its gate closed.
func (s *Service) bringUp(ctx context.Context, set *vip.Set, rec record, state unit.State) error {
	// Announced before the service runs: behind the gate nobody can meet it
	// half open, and packets stop going to where the address was.
	s.announce(ctx, set, &rec)
	if state.Running() != unit.Yes {
		if err := s.tidy(ctx, rec.Facts, state); err != nil {
			return err
		}
	}
	if err := s.permit(rec.Facts); err != nil {
		return err
	}
	if err := s.env.Units.Start(ctx, rec.Facts.Unit); err != nil {
		return fmt.Errorf("%w%s", err, s.hint(err, rec.Facts))
	}
	if state, err := s.env.Units.State(ctx, rec.Facts.Unit); err == nil {
		rec.Facts.Process.ControlGroup = state.ControlGroup
	}
	if err := s.untilAnswers(ctx, rec.Facts); err != nil {
		return err
	}
	s.markRun(rec.Facts)
	s.mend(ctx, rec.Facts)
	// Nobody may meet it in another role than its own.
	if roles, ok := s.steps.(Roles); ok {
		if err := roles.SetRole(ctx, rec.Facts, RoleUnpromoted); err != nil {
			return err
		}
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
	// A dialogue that hangs must not use up the start. One that is only slow, as
	// with a name server that does not answer, is given more time the next time.
	var reason error // of the last try that had its time
	for try := time.Second; ; {
		tryCtx, cancel := context.WithTimeout(ctx, try)
		err := s.steps.Check(tryCtx, facts, DepthShallow)
		if tryCtx.Err() != nil {
			try *= 2
		}
		if reason == nil || ctx.Err() == nil {
			reason = err
		}
		cancel()
		if err == nil || errors.Is(err, ErrDegraded) {
			return nil
		}
		// A unit that has died will not answer any more.
		if state, serr := s.env.Units.State(ctx, facts.Unit); serr == nil && state.Stopped() == unit.Yes {
			return fmt.Errorf("unit %s ended while starting (%s); journalctl -u %s says why", facts.Unit, state, facts.Unit)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unit %s is active but does not answer in time: %w", facts.Unit, reason)
		case <-tick.C:
		}
	}
}

// takeBack undoes a start that failed, addresses first: they are what clients
// and other nodes trip over.
func (s *Service) takeBack(ctx context.Context, rec record) error {
	// The start's own time may be used up.
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	releaseErr := s.release(ctx, rec)
	_, stopErr := s.stopUnit(ctx, rec.Facts, time.Now().Add(patience/2))
	if err := errors.Join(releaseErr, stopErr); err != nil {
		return err
	}
	s.records().forget(s.log)
	return nil
}

// facts prefers what the start noted over what the parameters say now.
func (s *Service) facts(ctx context.Context) (record, Facts, error) {
	rec, found, err := s.noted()
	if err == nil && !found {
		rec = s.supposed(ctx)
	}
	return rec, rec.Facts, err
}

// Target is an address on which clients reach the service: a secondary one, its
// own before a shared one, or where it listens apart from them.
func (s *Service) Target(f Facts) netip.Addr {
	if prefixes, err := s.Addresses.Prefixes(); err == nil && len(prefixes) > 0 {
		return prefixes[0].Addr()
	}
	if shared := s.Shared.Addrs(); len(shared) > 0 {
		return shared[0]
	}
	if f.Listen.IsValid() {
		return f.Listen
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// Noted says whether a start has left word of the resource on this node.
func (s *Service) Noted() bool {
	_, found, err := s.noted()
	return found || err != nil
}

// noted is what the start noted.
func (s *Service) noted() (record, bool, error) {
	rec, found, err := s.records().load()
	if err == nil && found && rec.Facts.Unit == "" {
		err = fmt.Errorf("read state of %s: %s names no unit", s.env.Instance, s.records().path())
	}
	return rec, found, err
}

// supposed is what parameters and configuration say, for want of what the start
// noted: unit and processes, addresses, and the rest as far as it can be read.
func (s *Service) supposed(ctx context.Context) record {
	facts, err := s.steps.Inspect(ctx)
	if err != nil {
		s.log.Info("the service's configuration cannot be read", "reason", err)
	}
	prefixes, err := s.Addresses.Prefixes()
	if err != nil {
		s.log.Warn("the secondary addresses are not known", "error", err)
	}
	return record{Facts: facts, Addresses: prefixes, Shared: s.Shared.Addrs()}
}

func (s *Service) records() records { return records{dir: s.env.StateDir, instance: s.env.Instance} }

func (s *Service) set(rec record) (*vip.Set, error) {
	return s.Addresses.Set(s.env, rec.Addresses)
}

// takeWhen brings the addresses up once ready agrees; see [vip.Set.TakeWhen].
// It says so if another node could have them.
func takeWhen(ctx context.Context, set *vip.Set, ready func() error) error {
	if set == nil {
		return ready()
	}
	err := set.TakeWhen(ctx, ready)
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
