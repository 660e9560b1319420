// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// KillMain is a deed that the cluster has to mend where it happens.
func KillMain() Deed {
	return Deed{Name: "kill", Title: "kill its main process", Alone: true, do: killMain}
}

func killMain(ctx context.Context, s *System, p Part) error {
	node, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	run, err := invocation(ctx, node, p.unit)
	if err != nil {
		return err
	}
	before, err := s.Runs(ctx)
	if err != nil {
		return err
	}
	if _, err := node.Output(ctx, "systemctl", "kill", "--signal=KILL", "--kill-who=main", p.unit); err != nil {
		return err
	}
	if err := untilNewRun(ctx, node, p.unit, run); err != nil {
		return err
	}
	if err := s.manager.idle(ctx); err != nil {
		return err
	}
	after, err := s.Runs(ctx)
	if err != nil {
		return err
	}
	for name, r := range after {
		if r.Node != before[name].Node {
			return fmt.Errorf("%s went from %s to %s", name, before[name].Node, r.Node)
		}
	}
	return s.manager.forgive(ctx, p)
}

// untilNewRun waits until a unit that was killed is started again.
func untilNewRun(ctx context.Context, n *lab.Node, unit, old string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := invocation(ctx, n, unit)
		if err != nil {
			return err
		}
		state, err := n.Output(ctx, "systemctl", "show", "--property=ActiveState", "--value", unit)
		if err != nil {
			return err
		}
		if now != old && state == "active" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s was not started again on %s: %w", unit, n.Name(), ctx.Err())
		case <-tick.C:
		}
	}
}
