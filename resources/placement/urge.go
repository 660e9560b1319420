// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"time"

	"github.com/mailha/mailha/resources"
)

// urge is what holds a group that runs where it is, though another node may be
// better. None of it depends on where other groups are.
type urge struct {
	*planner
	g    resources.Group
	st   Group
	here place

	// calm is why it must not move by itself, and until when; empty: it may.
	calm      string
	calmUntil time.Time
	// ripe is when all nodes that it prefers to this one have been there for long
	// enough: it would rather wait a little for one of them than move twice.
	ripe time.Time
}

func (p *planner) urge(g resources.Group, st Group, here place) *urge {
	u := &urge{planner: p, g: g, st: st, here: here, ripe: p.Now}
	if until := p.quiet(g, st); p.Now.Before(until) {
		u.calmUntil, u.calm = until, "it has just moved to "+st.Owner+" and stays there until "+p.clock(until)
	} else if until := p.restless(st); !until.IsZero() {
		u.calmUntil, u.calm = until, p.often()+" and stays on "+st.Owner+" until "+p.clock(until)
	}
	for _, n := range g.Nodes {
		if n.Rank < here.cost.rank && p.bars(g, st, n.Node) == "" {
			u.ripe = latest(u.ripe, p.Nodes[n.Node].Since.Add(g.Stickiness))
		}
	}
	return u
}

// back is when the group may fail back to a place; zero: never.
func (u *urge) back(at place) time.Time {
	return u.g.Failback.Next(latest(latest(u.ripe, u.calmUntil), u.Nodes[at.node].Since.Add(u.g.Stickiness)))
}

// reason is what a move to another place is for.
type reason int

const (
	noReason reason = iota // it is not better
	wished
	failing
	returning
)

func (u *urge) reason(at place) reason {
	switch {
	case at.cost.abandoned > u.here.cost.abandoned:
		return noReason
	case at.cost.unwished < u.here.cost.unwished:
		return wished
	case at.cost.abandoned < u.here.cost.abandoned:
		return failing
	case at.cost.abandoned > 0:
		return noReason // it would be no better there
	}
	return returning
}

// holds says whether the group must not go to a place now.
func (u *urge) holds(at place) bool {
	switch u.reason(at) {
	case wished:
		return false
	case failing:
		return u.calm != ""
	case returning:
		back := u.back(at)
		return u.calm != "" || u.st.Phase != Running || back.IsZero() || back.After(u.Now)
	}
	return true
}

// move is the decision to go to a place.
func (u *urge) move(at place) Decision {
	d := Decision{Action: Move, Node: at.node, Abandon: at.abandon}
	switch u.reason(at) {
	case wished:
		d.Asked, d.Reason = true, "it is wanted on "+at.node+u.by(&u.st.Wish.Order)
	case failing:
		d.Reason = u.here.why + ", and " + u.whyThere(u.g, u.st, at)
	default:
		d.Reason = u.better(at) + ", which has been there since " + u.clock(u.Nodes[at.node].Since)
	}
	return d
}

// whyNot says why a group does not go to a better place, and until when that
// holds; zero: until something happens.
func (u *urge) whyNot(at place) (time.Time, string) {
	if u.reason(at) == failing {
		return u.calmUntil, u.here.why + "; " + u.calm + without(u.here)
	}
	on, better, back := "it is on "+u.here.node+without(u.here), u.better(at), u.back(at)
	switch {
	case u.g.Failback.Never():
		return time.Time{}, on + "; " + better + ", but never fails back by itself; mailhactl group move " + u.g.Name + " " + at.node
	case u.st.Phase != Running:
		return time.Time{}, u.here.node + " is starting it; " + better
	case u.calm != "":
		return back, u.calm + "; " + better + ", and fails back from " + u.clock(back) + " on"
	}
	return back, on + "; " + better + ", and fails back from " + u.clock(back) + " on"
}

// better says what is better about a place that a group would return to.
func (u *urge) better(at place) string {
	if at.cost.together < u.here.cost.together {
		return "it would be apart from " + u.neighbours(u.g, u.here.node) + " on " + at.node
	}
	return "it prefers " + at.node
}
