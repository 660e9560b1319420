// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
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
	vip, err := pair{
		name: "vip", peer: "IPaddr2",
		ours:   agent{Type: "mailha/vip", Params: map[string]string{"ip": "10.77.0.60", "nic": "eth0"}},
		theirs: agent{Type: "heartbeat/IPaddr2", Params: map[string]string{"ip": "10.77.0.61", "cidr_netmask": "32", "nic": "eth0"}},
		apart:  true,
	}.measure(ctx)
	if err != nil {
		return nil, err
	}
	mta, err := pair{
		name: "mta", peer: "postfix",
		ours:   agent{Type: "mailha/mta", Params: map[string]string{"config_dir": "/etc/postfix-mx"}},
		theirs: agent{Type: "heartbeat/postfix", Params: map[string]string{"config_dir": "/etc/postfix-mx"}},
	}.measure(ctx)
	return slices.Concat(start, vip, mta), err
}

// pair is two agents for the same thing.
type pair struct {
	name, peer   string
	ours, theirs agent
	apart        bool // both may run at the same time
}

// step is one call in a round.
type step struct {
	action string
	ours   bool
}

// round puts the calls of both agents as close to each other as their sharing
// one service allows.
func (p pair) round() []step {
	actions := []string{"start", "monitor", "monitor", "monitor", "stop"}
	var steps []step
	if p.apart {
		for _, action := range actions {
			steps = append(steps, step{action, true}, step{action, false})
		}
		return steps
	}
	for _, ours := range []bool{true, false} {
		for _, action := range actions {
			steps = append(steps, step{action, ours})
		}
	}
	return steps
}

func (p pair) measure(ctx context.Context) ([]Samples, error) {
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
			if i > 0 {
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
