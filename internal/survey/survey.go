// SPDX-License-Identifier: Apache-2.0

// Package survey turns what etcd holds into what placement reads.
//
// It must never decide anything, and never read a clock: whoever asks says what
// time it is.
package survey

import (
	"slices"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// State is what a snapshot says at a time, which is given for people and for
// leases.
func State(s state.Snapshot, c *resources.Cluster, now time.Time, at clock.Time) placement.State {
	p := placement.State{Now: now, Cluster: c, Nodes: map[string]placement.Node{}, Groups: map[string]placement.Group{}, Unheard: s.Unheard()}
	for name, n := range s.Nodes {
		p.Nodes[name] = placement.Node{Present: true, Since: n.Since}
	}
	for name, g := range s.Groups {
		p.Groups[name] = group(s, c, g, now, at)
		lost(&p, s, g, at)
	}
	for _, w := range s.Wishes {
		if !w.Over(now) {
			apply(&p, w)
		}
	}
	stopped(&p, s, now)
	return p
}

// lost adds the nodes that had the group once and are not present.
func lost(p *placement.State, s state.Snapshot, g state.Group, at clock.Time) {
	names := []string{g.Owner, g.Former}
	for _, f := range g.Failures {
		names = append(names, f.Node)
	}
	for _, name := range names {
		if _, known := p.Nodes[name]; known || name == "" {
			continue
		}
		n := placement.Node{}
		if gone, ok := s.Gone[name]; ok {
			n.Since = p.Now.Add(gone.Sub(at))
		}
		p.Nodes[name] = n
	}
}

func group(s state.Snapshot, c *resources.Cluster, g state.Group, now time.Time, at clock.Time) placement.Group {
	p := placement.Group{Owner: g.Owner, Epoch: int64(g.Epoch), Phase: placement.Phase(g.Phase), Since: g.Since, Last: g.Former}
	if w, ok := s.Fenced(g); ok && !w.Over(now) {
		p.FreeAt = earlier(w.Since, now) // by another node's clock
	} else if gone, ok := s.Gone[g.Owner]; ok && g.Owner != "" && g.Phase != state.Failed && leased(c, g.Name) {
		// A lease that ends proves nothing about what could not be stopped under it.
		// When this watch first knew, the lease had ended; the margin is for what the
		// owner's own clock and its release may have taken longer.
		p.FreeAt = now.Add(max(gone.Add(c.Margin), s.Promised[g.Owner]).Sub(at))
	}
	for _, f := range g.Failures {
		p.Failures = append(p.Failures, placement.Failure{Node: f.Node, Resource: f.Resource, When: f.At, Fatal: f.Fatal})
	}
	for _, m := range g.Moves {
		p.Moves = append(p.Moves, placement.Moved{When: m})
	}
	return p
}

// leased says whether the end of a lease is enough to take a group over.
func leased(c *resources.Cluster, group string) bool {
	g, ok := c.Group(group)
	return !ok || g.Takeover != resources.TakeoverFenced
}

func apply(p *placement.State, w state.Wish) {
	order := placement.Order{By: w.By, Since: w.Since, Until: w.Until}
	switch w.Kind {
	case state.Maintenance:
		p.Maintenance = &order
	case state.Standby:
		n := p.Nodes[w.Node]
		n.Standby = &order
		p.Nodes[w.Node] = n
	case state.Move:
		g := groupOf(p, w.Group)
		g.Wish = &placement.Wish{Node: w.Node, Order: order}
		p.Groups[w.Group] = g
	case state.StopGroup:
		g := groupOf(p, w.Group)
		g.Stopped = &order
		p.Groups[w.Group] = g
	case state.Ban:
		g := groupOf(p, w.Group)
		g.Bans = append(g.Bans, placement.Ban{Node: w.Node, Order: order})
		p.Groups[w.Group] = g
	}
}

// groupOf is a group that may never have run.
func groupOf(p *placement.State, name string) placement.Group {
	g, ok := p.Groups[name]
	if !ok {
		g.Phase = placement.Free
	}
	return g
}

// stopped finds the groups of which every resource is to be stopped: they need no
// node at all.
func stopped(p *placement.State, s state.Snapshot, now time.Time) {
	for _, g := range p.Cluster.Groups {
		var order *placement.Order
		all := len(g.Resources) > 0
		for _, r := range g.Resources {
			i := slices.IndexFunc(s.Wishes, func(w state.Wish) bool {
				return w.Kind == state.Stop && w.Resource == r.Name && !w.Over(now)
			})
			if i < 0 {
				all = false
				break
			}
			order = &placement.Order{By: s.Wishes[i].By, Since: s.Wishes[i].Since, Until: s.Wishes[i].Until}
		}
		known := groupOf(p, g.Name)
		if all && known.Stopped == nil {
			known.Stopped = order
			p.Groups[g.Name] = known
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
