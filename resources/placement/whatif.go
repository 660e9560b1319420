// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"maps"
	"slices"
	"time"

	"github.com/mailha/mailha/resources"
)

// Difference is what would be otherwise with a group.
type Difference struct {
	Group string
	// From and To are the nodes on which it is, or is to be, without and with the
	// change; empty: none.
	From, To string
	Decision Decision // with the change
}

// WhatIf plans a state as it is and as it would be, and returns the groups that
// would be somewhere else, or nowhere, in the order of the file. The change
// works on a copy. What it says holds once everything has come to rest: leases
// that have to end have ended.
func WhatIf(s State, change func(*State)) []Difference {
	other := s.clone()
	change(&other)
	before, after := Make(s), Make(other)
	var all []Difference
	for _, g := range other.Cluster.Groups {
		d, _ := after.Of(g.Name)
		from, _ := before.Of(g.Name)
		if from.Node != d.Node {
			all = append(all, Difference{Group: g.Name, From: from.Node, To: d.Node, Decision: d})
		}
	}
	return all
}

// NodeDown is a change for WhatIf: the node is lost, and its lease has ended.
func NodeDown(node string) func(*State) {
	return func(s *State) {
		n := s.Nodes[node]
		n.Present, n.Since = false, s.Now
		s.Nodes[node] = n
		for name, st := range s.Groups {
			if st.Owner == node {
				st.FreeAt = s.Now
				s.Groups[name] = st
			}
		}
	}
}

// NodeUp is a change for WhatIf: the node is back, and has been for long enough
// to be failed back to.
func NodeUp(node string) func(*State) {
	return func(s *State) {
		n := s.Nodes[node]
		if !n.Present {
			n.Since = s.Now
			for _, g := range s.Cluster.Groups {
				if since := s.Now.Add(-g.Stickiness); since.Before(n.Since) {
					n.Since = since
				}
			}
		}
		n.Present = true
		s.Nodes[node] = n
	}
}

// NodeStandby is a change for WhatIf: the node is to run nothing.
func NodeStandby(node string) func(*State) {
	return func(s *State) {
		n := s.Nodes[node]
		n.Standby = &Order{Since: s.Now}
		s.Nodes[node] = n
	}
}

// Configured is a change for WhatIf: another file.
func Configured(c *resources.Cluster) func(*State) {
	return func(s *State) { s.Cluster = c }
}

// At is a change for WhatIf: another time.
func At(t time.Time) func(*State) {
	return func(s *State) { s.Now = t }
}

// Settle is a state after a plan was carried out at once, and all of it worked.
func Settle(s State, p Plan) State {
	s = s.clone()
	for _, d := range p.Decisions {
		st := s.Groups[d.Group]
		switch d.Action {
		case Stop:
			st = st.left(s.Now)
		case Start, Take, Move:
			last := st.Owner
			if last == "" {
				last = st.Last
			}
			if last != "" && last != d.Node {
				st.Moves = append(st.Moves, Moved{From: last, To: d.Node, When: s.Now, Asked: d.Asked})
			}
			st.Owner, st.Phase, st.Since, st.FreeAt, st.Last = d.Node, Running, s.Now, time.Time{}, ""
			st.Epoch++
		}
		s.Groups[d.Group] = st
	}
	return s
}

// left is the group after its owner has proved that it has stopped.
func (st Group) left(now time.Time) Group {
	st.Last, st.Owner, st.Phase, st.Since, st.FreeAt = st.Owner, "", Free, now, time.Time{}
	return st
}

func (s State) clone() State {
	s.Nodes, s.Groups = maps.Clone(s.Nodes), maps.Clone(s.Groups)
	if s.Nodes == nil {
		s.Nodes = map[string]Node{}
	}
	if s.Groups == nil {
		s.Groups = map[string]Group{}
	}
	for name, st := range s.Groups {
		st.Failures, st.Moves, st.Bans = slices.Clone(st.Failures), slices.Clone(st.Moves), slices.Clone(st.Bans)
		s.Groups[name] = st
	}
	return s
}

// Verdict is what a plan makes of a node for a group.
type Verdict struct {
	Node string
	Rank int
	// Why it cannot run the group, or what of the group would not run there;
	// empty: it can run all of it.
	Why string
	// Load is what the node has to carry beside the group.
	Load int
}

// Explain says what a plan makes of each of a group's nodes; nil: there is no
// such group.
func Explain(s State, group string) []Verdict {
	g, ok := s.Cluster.Group(group)
	if !ok {
		return nil
	}
	p := &planner{State: s, at: map[string]string{}}
	for _, d := range Make(s).Decisions {
		p.at[d.Group] = d.Node
	}
	st := s.Groups[group]
	var all []Verdict
	for _, n := range g.Nodes {
		v := Verdict{Node: n.Node, Rank: n.Rank, Why: p.bars(g, st, n.Node), Load: p.load(g, n.Node)}
		if v.Why == "" {
			_, _, v.Why = p.abandoned(g, st, n.Node)
		}
		all = append(all, v)
	}
	return all
}
