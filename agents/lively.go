// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// Rehearser is implemented by Steps that can tell, beyond what Inspect reads, whether
// the service would start with the configuration that is there now.
type Rehearser interface {
	// Rehearse changes nothing, and does not disturb the running service. It is called
	// while the service runs only: without its addresses some would not even read
	// their configuration.
	Rehearse(ctx context.Context, f Facts) error
}

// lively returns an error if the main process was stopped by a signal. It seems to be
// well, and others may even serve without it for a while. A process that a debugger
// holds is in another state.
func lively(state unit.State) error {
	if state.MainPID == 0 {
		return nil
	}
	p, err := process.Of(state.MainPID)
	switch {
	case errors.Is(err, process.ErrGone):
		return nil // systemd will say so
	case err != nil:
		return err
	case p.State == 'T':
		return fmt.Errorf("unit %s: its main process %s is suspended (SIGSTOP); kill -CONT %d has it go on", state.Name, p, p.PID)
	}
	return nil
}

// look asks the running service, and whether it could be started again: the next
// failover is a bad moment to learn that it could not.
func (s *Service) look(ctx context.Context, f Facts, depth Depth) error {
	err := s.steps.Check(ctx, f, depth)
	if ctx.Err() != nil {
		return err
	}
	again := s.rehearse(ctx, f)
	switch {
	case again == nil:
		return err
	case err != nil && !errors.Is(err, ErrDegraded):
		return fmt.Errorf("%w; nor could it be started again: %v", err, again)
	}
	return errors.Join(err, fmt.Errorf("%w: it could not be started again: %v", ErrDegraded, again))
}

func (s *Service) rehearse(ctx context.Context, f Facts) error {
	if _, err := s.steps.Inspect(ctx); err != nil {
		return err
	}
	if r, ok := s.steps.(Rehearser); ok {
		return r.Rehearse(ctx, f)
	}
	return nil
}
