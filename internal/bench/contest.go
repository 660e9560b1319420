// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/bench/rival"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic"
)

// What the contest has goals for.
const (
	goalAway    = 20  // ms, address, in a planned move
	goalGreets  = 100 // ms, SMTP from a warm MTA, likewise
	goalNotices = 50  // ms
	goalFenced  = 250 // ms, address, in a power cut, with a fence device
	goalElected = 400 // ms, likewise, if etcd has to choose a leader first
	goalWarm    = 250 // ms, SMTP from a warm MTA after the address
	goalAfter   = time.Second
)

// Contest has rivals do the same in turn while a client and a judge watch.
type Contest struct {
	// Rivals take turns. Those of one element share the nodes: all play with their
	// first shape, and then all with the next one.
	Rivals [][]rival.Rival
	Runs   int    // of each act
	Dir    string // has the program traffic
	Tell   func(string)

	board Board
}

// act is something that is done to a rival.
type act struct {
	name string
	do   func(c *Contest, ctx context.Context, b *bout) error
	// alone is an act of mailhad alone; do is nil then.
	alone func(c *Contest, ctx context.Context, m *rival.Mailhad) error
}

// bout is one rival in one act.
type bout struct {
	rival  rival.Rival
	holder *lab.Node // at its beginning
	probe  *traffic.Probe
	began  time.Time
}

// Play plays all acts and returns what was measured.
func (c *Contest) Play(ctx context.Context, acts []string) (*Board, error) {
	shapes := 0
	for _, list := range c.Rivals {
		shapes = max(shapes, len(list))
		for _, r := range list {
			c.board.Columns = append(c.board.Columns, r.Name())
		}
	}
	for shape := range shapes {
		var now []rival.Rival
		for _, list := range c.Rivals {
			if shape >= len(list) {
				continue
			}
			r := list[shape]
			now = append(now, r)
			c.Tell(r.Name() + " gets ready")
			if err := within(ctx, 3*time.Minute, r.Enter); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name(), err)
			}
		}
		for _, a := range c.acts() {
			if len(acts) > 0 && !slices.Contains(acts, a.name) {
				continue
			}
			if a.alone != nil {
				if m, is := now[0].(*rival.Mailhad); is && shape == 0 {
					if err := a.alone(c, ctx, m); err != nil {
						return nil, fmt.Errorf("%s: %w", a.name, err)
					}
				}
				continue
			}
			for run := range c.Runs {
				for _, r := range now {
					if err := c.bout(ctx, a, run+1, r); err != nil {
						return nil, fmt.Errorf("%s: %s, run %d: %w", r.Name(), a.name, run+1, err)
					}
				}
			}
		}
	}
	return &c.board, nil
}

// Acts are their names.
func Acts() []string {
	var names []string
	for _, a := range new(Contest).acts() {
		names = append(names, a.name)
	}
	return names
}

func (*Contest) acts() []act {
	return []act{
		{name: "move", do: (*Contest).move}, {name: "kill", do: (*Contest).kill}, {name: "cut", do: (*Contest).cut},
		{name: "crowd", alone: (*Contest).crowd}, {name: "idle", alone: (*Contest).idle},
	}
}

func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

// bout plays one act with one rival, and mends what it did.
func (c *Contest) bout(ctx context.Context, a act, run int, r rival.Rival) error {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b := &bout{rival: r}
	held := r.Ground().Holders()
	if len(held) != 1 {
		return fmt.Errorf("the address is on %d nodes before it begins", len(held))
	}
	b.holder = held[0]
	var err error
	if b.probe, err = c.watch(ctx, r); err != nil {
		return err
	}
	defer b.probe.Stop(ctx)
	if err := b.untilGreets(ctx); err != nil {
		return err
	}
	j, err := r.Ground().Judge()
	if err != nil {
		return err
	}
	defer j.Stop()
	if err := b.probe.Mark(ctx, a.name); err != nil {
		return err
	}
	b.began = time.Now()
	if err := a.do(c, ctx, b); err != nil {
		return err
	}
	report, err := b.probe.Report(ctx)
	if err != nil {
		return err
	}
	verdict := j.Since(b.began)
	c.note(a.name, r, report, verdict)
	c.Tell(fmt.Sprintf("%-26s %s %d: no address %.1f ms, no greeting %.1f ms, on two nodes %d times; the prober itself paused %.1f and %.1f ms",
		r.Name(), a.name, run, *report.ICMPBlackoutMS, *report.BannerBlackoutMS, len(verdict.Doubles), report.ICMPStallMS, report.BannerStallMS))
	return r.Mend(ctx, b.holder)
}

// watch begins to probe, often enough for a goal of 20 ms. A greeting that takes longer
// than a second is given up, so that attempts go on all through an outage.
func (c *Contest) watch(ctx context.Context, r rival.Rival) (*traffic.Probe, error) {
	client := r.Ground().Lab.Client()
	run := func(ctx context.Context, argv ...string) *exec.Cmd {
		// What keeps the prober from its processor would look like an outage.
		return client.Command(ctx, append([]string{"nice", "-n", "-19", filepath.Join(c.Dir, "traffic")}, argv...)...)
	}
	return traffic.StartProbe(ctx, run, traffic.ProbeConfig{
		ICMP: rival.Address, ICMPInterval: time.Millisecond,
		Banner: rival.Address + ":25", BannerInterval: 5 * time.Millisecond, Timeout: time.Second,
	})
}

// untilGreets waits until the service greets again and again.
func (b *bout) untilGreets(ctx context.Context) error {
	const each, enough = 100 * time.Millisecond, 5
	last, good := -1, 0
	for good < 5 {
		r, err := b.probe.Report(ctx)
		if err != nil {
			return err
		}
		if good++; last < 0 || r.Greetings-last < enough {
			good = 0
		}
		last = r.Greetings
		select {
		case <-ctx.Done():
			return fmt.Errorf("the service does not greet: %w", ctx.Err())
		case <-time.After(each):
		}
	}
	return nil
}

// untilElsewhere waits until one node has the address, and that one if it is given.
func (b *bout) untilElsewhere(ctx context.Context, want *lab.Node) error {
	for {
		held := b.rival.Ground().Holders()
		if len(held) == 1 && held[0] != b.holder && (want == nil || held[0] == want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the address did not leave %s: %w", b.holder.Name(), ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
