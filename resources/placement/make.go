// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mailha/mailha/resources"
)

// Make plans. Equal states have equal plans, and a plan that was carried out is
// followed by one that has nothing more to do.
//
// What binds it, strongest first: a group is started only when nobody else can
// run it; maintenance leaves everything as it is; operators' orders; as few
// resources as possible that do not run because they failed; operators' wishes;
// groups apart; the file's preference; where it is, or was last; the least load.
func Make(s State) Plan {
	p := &planner{State: s, at: map[string]string{}}
	groups := slices.Clone(s.Cluster.Groups)
	// Those that run stay or go first; those that do not find their place among
	// them.
	slices.SortStableFunc(groups, func(a, b resources.Group) int { return cmp.Compare(p.settled(b), p.settled(a)) })
	for _, g := range groups {
		if p.settled(g) == 1 {
			p.at[g.Name] = s.Groups[g.Name].Owner
		}
	}
	decisions := map[string]Decision{}
	for changed := true; changed; {
		changed = false
		for _, g := range groups {
			d := p.decide(g)
			decisions[g.Name] = d
			if p.at[g.Name] != d.Node {
				p.at[g.Name], changed = d.Node, true
			}
		}
	}
	var plan Plan
	for _, g := range s.Cluster.Groups {
		plan.Decisions = append(plan.Decisions, decisions[g.Name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		if _, ok := s.Cluster.Group(name); !ok && s.Groups[name].Owner != "" {
			plan.Decisions = append(plan.Decisions, p.removed(name))
		}
	}
	slices.SortStableFunc(plan.Decisions, func(a, b Decision) int { return cmp.Compare(a.Action.urgency(), b.Action.urgency()) })
	plan.Again = p.again()
	return plan
}

// Of returns the decision about a group; false: there is none.
func (p Plan) Of(group string) (Decision, bool) {
	i := slices.IndexFunc(p.Decisions, func(d Decision) bool { return d.Group == group })
	if i < 0 {
		return Decision{}, false
	}
	return p.Decisions[i], true
}

func (a Action) urgency() int {
	return slices.Index([]Action{Take, Start, Stop, Move, Wait, Keep}, a)
}

// planner is a state, and where the plan under way has put each group.
//
// The plan is found in rounds: each group goes to its best node as the others
// are placed, until none wants to go elsewhere. That ends: which nodes a group
// may choose from does not depend on the others; it only leaves one for another
// that costs it less, or costs the same and is its owner; two groups that are to
// be apart count each other alike; and load does not count again once a place is
// taken. So the sum of what all of them cost goes down with each step.
type planner struct {
	State
	at map[string]string // group → node
}

// settled is 1 for groups that are on a node that is there.
func (p *planner) settled(g resources.Group) int {
	st := p.Groups[g.Name]
	if st.sound() && st.Owner != "" && st.Phase != Stopping && p.Nodes[st.Owner].Present {
		return 1
	}
	return 0
}

// decide is about one group, with the others as they are placed.
func (p *planner) decide(g resources.Group) Decision {
	st := p.Groups[g.Name]
	var d Decision
	switch {
	case !st.sound():
		d = Decision{Action: Wait, Reason: fmt.Sprintf("its record makes no sense (phase %q, owner %q), so that nobody may touch it; if it runs nowhere, mailhactl group release %s", st.Phase, st.Owner, g.Name)}
	case st.Owner == "":
		d = p.free(g, st)
	case !p.Nodes[st.Owner].Present:
		d = p.lost(g, st)
	case st.Phase == Failed || st.Phase == Stopping:
		d = p.leaving(g, st)
	default:
		d = p.running(g, st)
	}
	d.Group = g.Name
	if d.Action != Keep {
		d.From = st.Owner
	}
	return d
}

// sound says whether the phase is one, and an owner is there when it needs one.
func (st Group) sound() bool {
	switch st.Phase {
	case "", Free:
		return st.Owner == ""
	case Starting, Running, Stopping, Failed:
		return st.Owner != ""
	}
	return false
}

// removed is about a group that the file no longer has.
func (p *planner) removed(name string) Decision {
	st := p.Groups[name]
	d := Decision{Group: name, Action: Stop, From: st.Owner, Reason: "it is no longer in the configuration"}
	if why := p.cared(st.Owner); why != "" {
		d.Action, d.Reason = Wait, d.Reason+", and "+why
	} else if !p.Nodes[st.Owner].Present || st.Phase == Failed || st.Phase == Stopping {
		d.Action = Wait
	}
	return d
}
