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
	before, err := s.places(ctx)
	if err != nil {
		return err
	}
	node := before[p.Name]
	run, err := invocation(ctx, node, p.unit)
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
	after, err := s.places(ctx)
	if err != nil {
		return err
	}
	for name, n := range after {
		if n != before[name] {
			return fmt.Errorf("%s went from %s to %s", name, before[name].Name(), n.Name())
		}
	}
	return s.manager.forgive(ctx, p)
}

// places says on which node each service is.
func (s *System) places(ctx context.Context) (map[string]*lab.Node, error) {
	all := make(map[string]*lab.Node)
	for _, p := range s.Parts() {
		n, err := s.Where(ctx, p)
		if err != nil {
			return nil, err
		}
		all[p.Name] = n
	}
	return all, nil
}

// invocation changes whenever systemd starts a unit anew.
func invocation(ctx context.Context, n *lab.Node, unit string) (string, error) {
	return n.Output(ctx, "systemctl", "show", "--property=InvocationID", "--value", unit)
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
