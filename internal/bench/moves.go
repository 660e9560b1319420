// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"

	"github.com/mailha/mailha/internal/scenario"
)

// Plan says how often each act is played by each cast. The casts take turns,
// half of the runs at a time, on one cluster.
type Plan struct{ Moves, MovesWithDisk, Kills int }

// Blackouts plays planned moves and node losses with both casts of agents and
// measures what a client sees. Tell hears of each act.
func Blackouts(ctx context.Context, stage *scenario.Stage, plan Plan, tell func(string)) ([]Samples, error) {
	shapes := []struct {
		act         scenario.Act
		name        string
		disk        bool
		n           int
		greet, echo Samples
	}{
		{act: scenario.Migrate(), name: "planned move", n: plan.Moves},
		{act: scenario.Migrate(), name: "planned move with a shared disk", disk: true, n: plan.MovesWithDisk},
		{act: scenario.KillNode(), name: "node kill with a shared disk", disk: true, n: plan.Kills},
	}
	for half := range 2 {
		for _, ours := range []bool{true, false} {
			for _, disk := range []bool{false, true} {
				cast := scenario.Neighbours(disk)
				if ours {
					cast = scenario.Bare(disk)
				}
				if err := stage.Enter(ctx, cast, stage.Lab.Nodes()[0]); err != nil {
					return nil, err
				}
				if half == 0 {
					if err := goRound(ctx, stage); err != nil {
						return nil, err
					}
				}
				for i := range shapes {
					s := &shapes[i]
					if s.disk != disk {
						continue
					}
					for run := range (s.n + 1 - half) / 2 {
						greeting, address, err := stage.Watch(ctx, s.act)
						if err != nil {
							return nil, err
						}
						tell(fmt.Sprintf("%-9s %s, run %d: no greeting %.0f ms, no address %.0f ms", cast.Name, s.name, run+1, greeting, address))
						if ours {
							s.greet.Ours, s.echo.Ours = append(s.greet.Ours, greeting), append(s.echo.Ours, address)
						} else {
							s.greet.Theirs, s.echo.Theirs = append(s.greet.Theirs, greeting), append(s.echo.Theirs, address)
						}
					}
				}
				if err := stage.Leave(ctx, cast); err != nil {
					return nil, err
				}
			}
		}
	}
	var samples []Samples
	for _, s := range shapes {
		s.echo.Name, s.echo.Unit, s.echo.Peer = s.name+", address away", "ms", "ocf:heartbeat:IPaddr2"
		s.greet.Name, s.greet.Unit, s.greet.Peer = s.name+", no SMTP greeting", "ms", "ocf:heartbeat:IPaddr2 and postfix"
		samples = append(samples, s.echo, s.greet)
	}
	return samples, nil
}

// goRound has the service be on every node once: a queue that was never used, and caches
// that nothing has filled, are not what a planned move meets.
func goRound(ctx context.Context, stage *scenario.Stage) error {
	for range stage.Lab.Nodes() {
		if _, _, err := stage.Watch(ctx, scenario.Migrate()); err != nil {
			return err
		}
	}
	return nil
}
