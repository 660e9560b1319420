// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/resources"
)

// whyThere says why a place is the right one for a group that is to go to one.
func (p *planner) whyThere(g resources.Group, st Group, at place) string {
	switch {
	case at.cost.unwished == 0:
		return "it is wanted on " + at.node + p.by(&st.Wish.Order) + without(at)
	case at.why != "":
		return at.node + " is the best of its nodes that are left" + without(at) + ": " + at.why
	}
	var others, apart bool // which other nodes could be asked
	for _, n := range g.Nodes {
		if n.Node == at.node || p.bars(g, st, n.Node) != "" {
			continue
		}
		other := p.place(g, st, n.Node).cost
		if other.abandoned > at.cost.abandoned {
			continue
		}
		others = true
		apart = apart || other.rank < at.cost.rank && other.together > at.cost.together
	}
	switch {
	case !others:
		return at.node + " is the only one of its nodes that is left" + p.beside(g, at)
	case apart:
		return at.node + " keeps it apart from other groups"
	case at.cost.rank == g.Nodes[len(g.Nodes)-1].Rank && at.cost.rank == 0:
		return at.node + " has the least to do of its nodes"
	}
	return at.node + " is the first of its nodes that can run it" + p.beside(g, at)
}

// whyHere says why a group stays where it is.
func (p *planner) whyHere(g resources.Group, st Group, here place) string {
	switch {
	case here.why != "" && len(here.abandon) == 0:
		return "it stays on " + here.node + " and is tried again: " + here.why + ", and no other node is better" + p.others(g, st, here.node)
	case here.why != "":
		return "it stays on " + here.node + without(here) + ": " + here.why + ", and no other node is better" + p.others(g, st, here.node) +
			"; it is tried again at " + p.clock(p.rested(g, st, here.node)) + ", or after mailhactl resource start " + here.abandon[0]
	}
	where := "it runs on " + here.node
	if st.Phase == Starting {
		where = here.node + " is starting it"
	}
	if wish := p.wish(st); wish == here.node {
		return where + ", where it is wanted" + p.by(&st.Wish.Order)
	} else if wish != "" {
		if why := p.bars(g, st, wish); why != "" {
			return where + "; it is wanted on " + wish + p.by(&st.Wish.Order) + ", but " + why
		}
		if _, _, why := p.abandoned(g, st, wish); why != "" {
			return where + "; it is wanted on " + wish + p.by(&st.Wish.Order) + ", but " + why
		}
	}
	if here.cost.together > 0 {
		return where + ", together with " + p.neighbours(g, here.node) + ", for no other node is left" + p.others(g, st, here.node)
	}
	for _, n := range g.Nodes {
		if n.Rank >= here.cost.rank {
			break
		}
		if why := p.bars(g, st, n.Node); why != "" {
			return where + ", and " + why
		}
		if _, _, why := p.abandoned(g, st, n.Node); why != "" {
			return where + ", and " + why
		}
	}
	return where
}

// nowhere says why no node can run a group, and what to do.
func (p *planner) nowhere(g resources.Group, st Group) string {
	reasons := p.reasons(g, st, "")
	if len(reasons) == 0 {
		return "no node left: it has none in the configuration"
	}
	return "no node left: " + strings.Join(reasons, "; ") + "; mailhactl explain " + g.Name
}

// others says why the other nodes do not run a group.
func (p *planner) others(g resources.Group, st Group, but string) string {
	reasons := p.reasons(g, st, but)
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

func (p *planner) reasons(g resources.Group, st Group, but string) []string {
	var all []string
	for _, n := range g.Nodes {
		if n.Node == but {
			continue
		}
		why := p.bars(g, st, n.Node)
		if why == "" {
			_, _, why = p.abandoned(g, st, n.Node)
		}
		if why != "" {
			all = append(all, why)
		}
	}
	return all
}

// beside says which groups that it should be apart from are there.
func (p *planner) beside(g resources.Group, at place) string {
	if at.cost.together == 0 {
		return ""
	}
	return ", even together with " + p.neighbours(g, at.node)
}

func (p *planner) neighbours(g resources.Group, node string) string {
	var all []string
	for _, other := range g.ApartFrom {
		if p.at[other] == node {
			all = append(all, other)
		}
	}
	return list(all)
}

// without names what is not to run at a place.
func without(at place) string {
	if len(at.abandon) == 0 {
		return ""
	}
	return " without " + list(at.abandon)
}

// by says who gave an order, and how long it holds.
func (p *planner) by(o *Order) string {
	s := ""
	if o.By != "" {
		s = " by " + o.By
	}
	if !o.Until.IsZero() {
		s += " until " + p.clock(o.Until)
	}
	return s
}

func (p *planner) since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + p.clock(t)
}

// clock writes a time for people, who need the day only if it is another one.
func (p *planner) clock(t time.Time) string {
	t = t.In(p.Now.Location())
	if t.YearDay() == p.Now.YearDay() && t.Year() == p.Now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// list writes a, b and c.
func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// later is t if it is still to come, and else zero.
func later(t, now time.Time) time.Time {
	if t.After(now) {
		return t
	}
	return time.Time{}
}
