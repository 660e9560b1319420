// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"slices"
	"time"

	"github.com/mailha/mailha/resources"
)

// free is about a group that runs nowhere.
func (p *planner) free(g resources.Group, st Group) Decision {
	if why := p.cared(""); why != "" {
		return Decision{Action: Wait, NotBefore: p.Maintenance.Until, Reason: "it is stopped, and " + why}
	}
	if p.holds(st.Stopped) {
		return Decision{Action: Wait, NotBefore: st.Stopped.Until, Reason: "it is stopped" + p.by(st.Stopped) + "; mailhactl group start " + g.Name}
	}
	if why := p.unheard(); why != "" {
		return Decision{Action: Wait, Reason: why}
	}
	places, until := p.open(g, st, st.Last)
	best, ok := p.best(g, places, p.at[g.Name], st.Last)
	switch {
	case !ok && until.IsZero():
		return Decision{Action: Wait, Reason: p.nowhere(g, st)}
	case !ok:
		return Decision{Action: Wait, NotBefore: until, Reason: p.often() + ", and is not started elsewhere before " + p.clock(until) + p.others(g, st, "") + "; mailhactl group move " + g.Name + " NODE"}
	}
	d := Decision{Action: Start, Node: best.node, Abandon: best.abandon, Asked: p.asked(g, st, st.Last, best.node)}
	if awaited := p.awaited(g, st, best); awaited != "" {
		d.Action, d.NotBefore = Wait, p.gathered()
		d.Reason = "the cluster has just come up, and " + awaited + ", which the group prefers to " + best.node + ", may be about to come"
		return d
	}
	switch {
	case !until.IsZero() && best.node == st.Last:
		d.Reason = p.often() + " and stays on " + st.Last + without(best)
	case st.Last == "" || st.Last == best.node:
		d.Reason = "it is stopped, and " + p.whyThere(g, st, best)
	default:
		d.Reason = "it has stopped on " + st.Last + ", and " + p.whyThere(g, st, best)
	}
	return d
}

// awaited is a node that the group prefers to the best that is there, and that may only
// be slower to boot; empty: none. Where the group was last it need not wait.
func (p *planner) awaited(g resources.Group, st Group, best place) string {
	if !p.Now.Before(p.gathered()) || best.node == st.Last || best.cost.unwished == 0 {
		return ""
	}
	for _, n := range g.Nodes {
		if n.Rank < best.cost.rank && !p.Nodes[n.Node].Present && p.unwanted(g, st, n.Node) == "" {
			return n.Node
		}
	}
	return ""
}

// gathered is when nodes that were switched on together are expected to be there: a
// lease after the first of them.
func (p *planner) gathered() time.Time {
	var first time.Time
	for _, n := range p.Nodes {
		if n.Present && (first.IsZero() || n.Since.Before(first)) {
			first = n.Since
		}
	}
	return first.Add(p.Cluster.Lease)
}

// unheard says for whom groups have to wait after a restore; empty: for nobody.
func (p *planner) unheard() string {
	if len(p.Unheard) == 0 {
		return ""
	}
	return "the cluster was restored, and what " + list(p.Unheard) + " may still run is not known: start mailhad there, or make sure that it is off, then mailhactl node fenced " + p.Unheard[0]
}

// open are the places for a group that its last node no longer runs. A group
// that has had its moves may only go where an operator wants it, or back; until
// is when that ends.
func (p *planner) open(g resources.Group, st Group, last string) (places []place, until time.Time) {
	places = p.places(g, st)
	if last == "" || p.unwanted(g, st, last) != "" {
		return places, time.Time{}
	}
	if until = p.restless(st); until.IsZero() {
		return places, until
	}
	return slices.DeleteFunc(places, func(at place) bool { return at.node != last && at.cost.unwished != 0 }), until
}

// asked says whether it is an operator's doing that a group goes to a node.
func (p *planner) asked(g resources.Group, st Group, last, node string) bool {
	return last != "" && node != last && (p.wish(st) == node || p.unwanted(g, st, last) != "")
}

// often says that a group has had its moves.
func (p *planner) often() string {
	return "it has moved " + times(p.Cluster.MaxMoves) + " within " + resources.Span(p.Cluster.MovesWindow)
}

// lost is about a group whose owner is gone.
func (p *planner) lost(g resources.Group, st Group) Decision {
	gone := st.Owner + " is lost" + p.since(p.Nodes[st.Owner].Since)
	if why := p.cared(st.Owner); why != "" {
		return Decision{Action: Wait, Reason: gone + ", and " + why + ": it is not taken over"}
	}
	if p.holds(st.Stopped) {
		return Decision{Action: Wait, NotBefore: st.Stopped.Until, Reason: gone + ", and the group is stopped" + p.by(st.Stopped)}
	}
	if why := p.unheard(); why != "" {
		return Decision{Action: Wait, Reason: gone + ", and " + why}
	}
	if st.FreeAt.IsZero() {
		return Decision{Action: Wait, Reason: gone + ", and nothing proves that the group has ended there; make sure that the node is off, then mailhactl node fenced " + st.Owner}
	}
	places, until := p.open(g, st, st.Owner)
	best, ok := p.best(g, places, p.at[g.Name])
	switch {
	case !ok && until.IsZero():
		return Decision{Action: Wait, NotBefore: later(st.FreeAt, p.Now), Reason: gone + "; " + p.nowhere(g, st)}
	case !ok:
		return Decision{Action: Wait, NotBefore: until, Reason: fmt.Sprintf("%s; %s and is not taken over before %s, lest it take one node after the other down; mailhactl group move %s NODE",
			gone, p.often(), p.clock(until), g.Name)}
	}
	d := Decision{Action: Take, Node: best.node, Abandon: best.abandon, Asked: p.asked(g, st, st.Owner, best.node), Reason: gone + ", and " + p.whyThere(g, st, best)}
	if p.Now.Before(st.FreeAt) {
		d.Action, d.NotBefore = Wait, st.FreeAt
		d.Reason = gone + "; " + best.node + " takes it over at " + p.clock(st.FreeAt) + ", when the lease is over for certain"
	}
	return d
}

// leaving is about a group that its owner is stopping, or could not stop.
func (p *planner) leaving(g resources.Group, st Group) Decision {
	if st.Phase == Failed {
		return Decision{Action: Wait, Reason: st.Owner + " could not stop it" + p.since(st.Since) + ", and what is left there may still write; see journalctl -u mailhad on " + st.Owner + ", or have it switched off: mailhactl fence " + st.Owner}
	}
	d := Decision{Action: Wait, Reason: st.Owner + " is stopping it" + p.since(st.Since)}
	if p.cared("") != "" || p.holds(st.Stopped) {
		return d
	}
	places, _ := p.open(g, st, st.Owner)
	if best, ok := p.best(g, places, p.at[g.Name], st.Owner); ok {
		d.Node, d.Abandon, d.Asked = best.node, best.abandon, p.asked(g, st, st.Owner, best.node)
		d.Reason += "; then it starts on " + best.node
	}
	return d
}

// running is about a group that its owner runs or starts.
func (p *planner) running(g resources.Group, st Group) Decision {
	here := p.place(g, st, st.Owner)
	if why := p.cared(st.Owner); why != "" {
		return Decision{Action: Keep, Node: st.Owner, Reason: "it is on " + st.Owner + ", and " + why + ": it is left alone"}
	}
	if p.holds(st.Stopped) {
		return Decision{Action: Stop, Asked: true, Reason: "it is to be stopped" + p.by(st.Stopped)}
	}
	places := p.places(g, st)
	if why := p.unwanted(g, st, st.Owner); why != "" {
		best, ok := p.best(g, places, p.at[g.Name])
		if !ok {
			return Decision{Action: Stop, Asked: true, Reason: why + "; " + p.nowhere(g, st)}
		}
		return Decision{Action: Move, Node: best.node, Abandon: best.abandon, Asked: true, Reason: why + ", and " + p.whyThere(g, st, best)}
	}
	if len(places) == 0 {
		return Decision{Action: Stop, Reason: p.nowhere(g, st)}
	}
	urge := p.urge(g, st, here)
	within := slices.DeleteFunc(slices.Clone(places), func(at place) bool { return at.node == here.node || urge.holds(at) })
	// Where it is, if nothing of it would run there, is not among the places; it
	// is still better to wait there than to move too often.
	best, _ := p.best(g, append(within, here), st.Owner, p.at[g.Name])
	if best.node != st.Owner {
		return urge.move(best)
	}
	d := Decision{Action: Keep, Node: st.Owner, Abandon: here.abandon}
	if wanted, _ := p.best(g, places, st.Owner); wanted.cost.compare(here.cost) < 0 && urge.reason(wanted) != noReason {
		d.NotBefore, d.Reason = urge.whyNot(wanted)
	} else {
		d.Reason = p.whyHere(g, st, here)
	}
	return d
}
