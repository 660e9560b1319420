// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// rounds is how often each agent is started and stopped; it is monitored
// several times in each round. The first round warms up.
const rounds = 12

// Costs measures calls of the agents inside a node, in turn: ours, theirs,
// ours, theirs.
func Costs(ctx context.Context) ([]Samples, error) {
	start, err := startup(ctx)
	if err != nil {
		return nil, err
	}
	all := start
	for _, p := range pairs() {
		if !p.ours.shipped() {
			continue
		}
		samples, err := p.measure(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", p.name, p.peer, err)
		}
		all = append(all, samples...)
	}
	return all, nil
}

// step is one call in a round.
type step struct {
	action string
	ours   bool
	aside  bool // not measured
}

// round puts the calls of both agents as close to each other as their sharing
// one service allows: both monitor the one that ours has started, in turn.
func (p pair) round() []step {
	const monitors = 3
	steps := []step{{action: "start", ours: true}}
	if p.apart {
		steps = append(steps, step{action: "start"})
	}
	if p.roles {
		steps = append(steps, step{action: "promote", ours: true, aside: true})
	}
	for range monitors {
		steps = append(steps, step{action: "monitor", ours: true}, step{action: "monitor"})
	}
	if p.roles {
		steps = append(steps, step{action: "demote", ours: true, aside: true})
	}
	steps = append(steps, step{action: "stop", ours: true})
	if !p.apart {
		steps = append(steps, step{action: "start"})
	}
	return append(steps, step{action: "stop"})
}

func (p pair) measure(ctx context.Context) ([]Samples, error) {
	if p.prepare != "" {
		if out, err := exec.CommandContext(ctx, "sh", "-c", p.prepare).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("prepare: %w: %s", err, out)
		}
	}
	var samples []Samples
	for i := range rounds + 1 {
		for _, st := range p.round() {
			a := p.theirs
			if st.ours {
				a = p.ours
			}
			c, err := a.call(ctx, st.action)
			if err != nil {
				return nil, err
			}
			if i > 0 && !st.aside {
				samples = p.add(samples, st, c)
			}
		}
	}
	return samples, nil
}

// add sorts the figures of one call into the samples, which are few.
func (p pair) add(samples []Samples, st step, c cost) []Samples {
	for _, f := range []struct {
		what, unit string
		value      float64
	}{
		{"wall time", "ms", millis(c.Wall)},
		{"CPU time", "ms", millis(c.CPU)},
		{"processes and threads", "count", float64(c.Tasks)},
	} {
		name := fmt.Sprintf("%s %s, %s", p.name, st.action, f.what)
		i := slices.IndexFunc(samples, func(s Samples) bool { return s.Name == name })
		if i < 0 {
			i = len(samples)
			samples = append(samples, Samples{Name: name, Unit: f.unit, Peer: "ocf:heartbeat:" + p.peer})
		}
		if st.ours {
			samples[i].Ours = append(samples[i].Ours, f.value)
		} else {
			samples[i].Theirs = append(samples[i].Theirs, f.value)
		}
	}
	return samples
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
