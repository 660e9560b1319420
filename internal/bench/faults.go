// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// monitorTimeout is what the agents of both sets ask for at depth 0.
const monitorTimeout = 20 * time.Second

// theatre is where faults are planted.
type theatre struct {
	*scenario.Solo
	tell func(string)
}

// Faults plants faults on running services, one at a time, and notes what each
// monitor says. Tell hears of each. What was noted before an error is returned
// with it.
func Faults(ctx context.Context, solo *scenario.Solo, tell func(string)) ([]Row, error) {
	th := theatre{solo, tell}
	if err := th.certify(); err != nil {
		return nil, err
	}
	var rows []Row
	for _, s := range subjects() {
		if err := th.open(ctx, s); err != nil {
			return rows, fmt.Errorf("%s: %w", s.service, err)
		}
		for _, f := range s.faults {
			row, err := th.play(ctx, s, f)
			if err != nil {
				return rows, fmt.Errorf("%s: %s: %w", s.service, f.name, err)
			}
			rows = append(rows, row)
		}
		if err := th.drive(ctx, s.ours, s.closing()); err != nil {
			return rows, fmt.Errorf("%s: %w", s.service, err)
		}
	}
	return rows, nil
}

// open starts the service by our agent; all monitors must find it well.
func (th theatre) open(ctx context.Context, s subject) error {
	if err := th.run(ctx, th.Other, s.other); err != nil {
		return err
	}
	if err := th.run(ctx, th.Node, s.prepare); err != nil {
		return err
	}
	if err := th.drive(ctx, s.ours, s.opening()); err != nil {
		return err
	}
	return th.untilWell(ctx, s)
}

func (s subject) opening() []string {
	if s.roles {
		return []string{"start", "promote"}
	}
	return []string{"start"}
}

func (s subject) closing() []string {
	if s.roles {
		return []string{"demote", "stop"}
	}
	return []string{"stop"}
}

// play plants a fault, asks all monitors, mends it, and sees that all is well again.
func (th theatre) play(ctx context.Context, s subject, f fault) (Row, error) {
	row := Row{Fault: f.name, Service: s.service}
	node := th.Node
	if f.elsewhere {
		node = th.Other
	}
	if f.restart {
		if err := th.drive(ctx, s.ours, s.closing()); err != nil {
			return row, err
		}
	}
	if err := th.run(ctx, node, f.plant); err != nil {
		return row, errors.Join(err, th.run(ctx, node, f.mend))
	}
	ours, theirs := s.watches()
	err := th.ask(ctx, s, f, &row, ours, theirs)
	if err := errors.Join(err, th.run(ctx, node, f.mend)); err != nil {
		return row, err
	}
	for _, sight := range row.sights() {
		th.tell(fmt.Sprintf("%s, %s: %-32s %-8s code %3d, %6.0f ms  %s", s.service, f.name, sight.Monitor, sight.Verdict, sight.Code, sight.Millis, sight.Said))
	}
	return row, th.restore(ctx, s, f)
}

func (th theatre) ask(ctx context.Context, s subject, f fault, row *Row, ours, theirs []watch) (err error) {
	if f.restart {
		if err := th.start(ctx, s, s.ours); err != nil {
			return err
		}
	}
	if row.Ours, err = th.look(ctx, ours); err != nil {
		return err
	}
	if f.restart {
		// Their agent for the service leaves the addresses to others.
		if err := errors.Join(th.drive(ctx, s.ours, []string{"stop"}), th.run(ctx, th.Node, own(s.addrs...)), th.start(ctx, s, s.theirs)); err != nil {
			return err
		}
	}
	row.Theirs, err = th.look(ctx, theirs)
	if f.restart && err == nil {
		_, _, err = th.call(ctx, s.theirs, "stop", 0)
		err = errors.Join(err, th.run(ctx, th.Node, disown(s.addrs...)))
	}
	return err
}

// start may fail: what the monitors say then is what counts.
func (th theatre) start(ctx context.Context, s subject, a agent) error {
	res, _, err := th.call(ctx, a, "start", 0)
	th.tell(fmt.Sprintf("%s: start by %s: code %d  %s", s.service, a.Type, res.ExitCode, said(res.Stderr)))
	return err
}

// restore waits until all is well, if need be after a restart.
func (th theatre) restore(ctx context.Context, s subject, f fault) error {
	if !f.restart {
		err := th.untilWell(ctx, s)
		if err == nil {
			return nil
		}
		th.tell(fmt.Sprintf("%s, %s: does not get well without a restart: %v", s.service, f.name, err))
		if err := th.drive(ctx, s.ours, []string{"stop"}); err != nil {
			return err
		}
	}
	if err := th.drive(ctx, s.ours, s.opening()); err != nil {
		return err
	}
	return th.untilWell(ctx, s)
}

// untilWell waits until all monitors say so. A claim of an address is remembered
// for a while after it has ended.
func (th theatre) untilWell(ctx context.Context, s subject) error {
	const patience = 45 * time.Second
	ours, theirs := s.watches()
	for end := time.Now().Add(patience); ; {
		var unwell []string
		for _, w := range append(ours, theirs...) {
			sights, err := th.look(ctx, []watch{w})
			if err != nil {
				return err
			}
			if sights[0].Verdict != Missed {
				unwell = append(unwell, fmt.Sprintf("%s: %d %s", w.name, sights[0].Code, sights[0].Said))
			}
		}
		if len(unwell) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("without a fault: %s", strings.Join(unwell, "; "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond): // a product's own time to recover, which tells nobody
		}
	}
}

func (th theatre) look(ctx context.Context, watches []watch) ([]Sight, error) {
	var sights []Sight
	for _, w := range watches {
		res, took, err := th.call(ctx, w.agent, "monitor", w.depth)
		if err != nil {
			return nil, err
		}
		sights = append(sights, sight(w.name, res.ExitCode, took, res.Stderr))
	}
	return sights, nil
}

// drive calls actions that have to succeed.
func (th theatre) drive(ctx context.Context, a agent, actions []string) error {
	for _, action := range actions {
		res, _, err := th.call(ctx, a, action, 0)
		if err != nil || res.ExitCode != 0 {
			return fmt.Errorf("%s of %s: code %d: %w", action, a.Type, res.ExitCode, cmp.Or(err, errors.New(said(res.Stderr))))
		}
	}
	return nil
}

// call runs an agent as Pacemaker does, which kills it at its timeout.
func (th theatre) call(ctx context.Context, a agent, action string, depth int) (lab.Result, time.Duration, error) {
	interval, timeout := 10*time.Second, monitorTimeout
	if action != "monitor" {
		interval, timeout = 0, time.Minute
	}
	argv := append([]string{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, a.environ(timeout, interval, depth)...)
	argv = append(argv, "timeout", "--kill-after=1", fmt.Sprint(timeout.Seconds()), a.program(), action)
	began := time.Now()
	res, err := th.Node.Exec(ctx, argv...)
	return res, time.Since(began), err
}

func (th theatre) run(ctx context.Context, n *lab.Node, script string) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := n.Output(ctx, "sh", "-c", script)
	return err
}
