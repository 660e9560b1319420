// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/resources"
)

// holds says whether an order is in force.
func (p *planner) holds(o *Order) bool {
	return o != nil && (o.Until.IsZero() || p.Now.Before(o.Until))
}

// wish is the node that an operator wants the group on; empty: none.
func (p *planner) wish(st Group) string {
	if st.Wish == nil || !p.holds(&st.Wish.Order) {
		return ""
	}
	return st.Wish.Node
}

// ban is the one that keeps the group from a node; nil: none.
func (p *planner) ban(st Group, node string) *Ban {
	i := slices.IndexFunc(st.Bans, func(b Ban) bool { return b.Node == node && p.holds(&b.Order) })
	if i < 0 {
		return nil
	}
	return &st.Bans[i]
}

// cared says which maintenance leaves a node's groups as they are; empty: none.
func (p *planner) cared(node string) string {
	switch n := p.Nodes[node]; {
	case p.holds(p.Maintenance):
		return "the cluster is in maintenance" + p.by(p.Maintenance)
	case node != "" && p.holds(n.Maintenance):
		return node + " is in maintenance" + p.by(n.Maintenance)
	}
	return ""
}

// bars says why a node cannot get the group; empty: it can.
func (p *planner) bars(g resources.Group, st Group, node string) string {
	n, seen := p.Nodes[node]
	switch {
	case !seen:
		return node + " has never been seen"
	case !n.Present:
		return node + " is lost" + p.since(n.Since)
	}
	if why := p.unwanted(g, st, node); why != "" {
		return why
	}
	if p.holds(n.Maintenance) {
		return node + " is in maintenance" + p.by(n.Maintenance)
	}
	return ""
}

// unwanted says which order of an operator's keeps the group from a node where
// it could run; empty: none.
func (p *planner) unwanted(g resources.Group, st Group, node string) string {
	if _, ok := g.Rank(node); !ok {
		return node + " is not among its nodes in the configuration"
	}
	if n := p.Nodes[node]; p.holds(n.Standby) {
		return node + " is on standby" + p.by(n.Standby)
	}
	if b := p.ban(st, node); b != nil {
		return "it is banned from " + node + p.by(&b.Order)
	}
	return ""
}

// Failures that count.

// expired is when a failure no longer counts.
func expired(g resources.Group, f Failure) time.Time { return f.When.Add(g.FailureWindow) }

// spent says why a resource is not well on a node, after what has failed there, and
// until when it is not to be tried there; empty: it is well.
func (p *planner) spent(g resources.Group, st Group, r resources.Resource, node string) (why string, until time.Time) {
	threshold := max(1, r.Threshold)
	switch r.OnFailure {
	case resources.OnFailureMove:
		threshold = 1
	case resources.OnFailureStop, resources.OnFailureIgnore:
		return "", time.Time{}
	}
	count, fatal := 0, false
	var last time.Time
	for _, f := range st.Failures {
		if f.Node != node || f.Resource != r.Name || !p.Now.Before(expired(g, f)) {
			continue
		}
		if p.wish(st) == node && f.When.Before(st.Wish.Since) {
			continue
		}
		count++
		fatal = fatal || f.Fatal
		if f.When.After(last) {
			last = f.When
		}
	}
	switch {
	case fatal:
		return r.Name + " could not be started on " + node, last.Add(Rest(count-1, g.FailureWindow))
	case count >= threshold:
		return fmt.Sprintf("%s failed %s on %s within %s", r.Name, times(count), node, resources.Span(g.FailureWindow)), last.Add(Rest(count-threshold, g.FailureWindow))
	}
	return "", time.Time{}
}

// firstRest is how long a resource that has used up its failures is left alone, where
// there is no better place for it. A tenth of a minute costs no machine much, and a
// cable that was pulled is back.
const firstRest = 10 * time.Second

// Rest is how long that is after so many failures more: twice as long each time, and no
// longer than most.
func Rest(more int, most time.Duration) time.Duration {
	d := firstRest
	for ; more > 0 && d < most; more-- {
		d *= 2
	}
	return min(d, most)
}

// abandoned lists the resources that are not well on a node, with those that come after
// them, and why; nil: all are. Those of them that rest are not to run there at present.
func (p *planner) abandoned(g resources.Group, st Group, node string) (all, resting []string, why string) {
	var reasons []string
	for _, r := range g.Resources { // in the order of their starts
		spent, until := p.spent(g, st, r, node)
		after := func(names []string) bool {
			return slices.ContainsFunc(r.After, func(o string) bool { return slices.Contains(names, o) })
		}
		if spent != "" {
			reasons = append(reasons, spent)
		}
		if spent != "" || after(all) {
			all = append(all, r.Name)
		}
		if p.Now.Before(until) || after(resting) {
			resting = append(resting, r.Name)
		}
	}
	return all, resting, strings.Join(reasons, ", ")
}

// rested is when the first of the resources that rest on a node is tried again.
func (p *planner) rested(g resources.Group, st Group, node string) time.Time {
	var first time.Time
	for _, r := range g.Resources {
		if _, until := p.spent(g, st, r, node); p.Now.Before(until) && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// Moves that count.

// quiet is until when the group stays after its last move.
func (p *planner) quiet(g resources.Group, st Group) time.Time {
	var last time.Time
	for _, m := range st.Moves {
		if m.When.After(last) {
			last = m.When
		}
	}
	if last.IsZero() {
		return last
	}
	return last.Add(g.HoldDown)
}

// restless is until when the group has had its moves; zero: it has not.
func (p *planner) restless(st Group) time.Time {
	var recent []time.Time
	for _, m := range st.Moves {
		if !m.Asked && p.Now.Before(m.When.Add(p.Cluster.MovesWindow)) {
			recent = append(recent, m.When)
		}
	}
	if p.Cluster.MaxMoves == 0 || len(recent) < p.Cluster.MaxMoves {
		return time.Time{}
	}
	slices.SortFunc(recent, time.Time.Compare)
	return recent[len(recent)-p.Cluster.MaxMoves].Add(p.Cluster.MovesWindow)
}

// Places.

// place is a node that could run a group, and what that would cost.
type place struct {
	node    string
	cost    cost
	abandon []string // what is not to run there at present
	why     string   // what is not well there
}

// cost orders places, the first field most.
type cost struct {
	abandoned int // resources that would not run, or that are tried once more
	unwished  int // 0 on the node that an operator wants
	together  int // groups there that it should be apart from
	rank      int
}

func (c cost) compare(o cost) int {
	return cmp.Or(cmp.Compare(c.abandoned, o.abandoned), cmp.Compare(c.unwished, o.unwished),
		cmp.Compare(c.together, o.together), cmp.Compare(c.rank, o.rank))
}

func (p *planner) place(g resources.Group, st Group, node string) place {
	rank, _ := g.Rank(node)
	at := place{node: node, cost: cost{rank: rank}}
	all, resting, why := p.abandoned(g, st, node)
	at.abandon, at.why = resting, why
	at.cost.abandoned = len(all)
	if p.wish(st) != node {
		at.cost.unwished = 1
	}
	for _, other := range g.ApartFrom {
		if p.at[other] == node {
			at.cost.together++
		}
	}
	return at
}

// idle says whether nothing of the group would run there.
func (at place) idle(g resources.Group) bool {
	return len(g.Resources) > 0 && len(at.abandon) == len(g.Resources)
}

// places are the nodes that could run any of a group, as the others are placed.
func (p *planner) places(g resources.Group, st Group) []place {
	var all []place
	for _, n := range g.Nodes {
		if p.bars(g, st, n.Node) != "" {
			continue
		}
		if at := p.place(g, st, n.Node); !at.idle(g) {
			all = append(all, at)
		}
	}
	return all
}

// best is the cheapest of places; false: there is none. Of those that cost the
// same, the first in home wins, and then the one with the least load.
func (p *planner) best(g resources.Group, places []place, home ...string) (place, bool) {
	if len(places) == 0 {
		return place{}, false
	}
	found := places[0]
	for _, at := range places[1:] {
		if p.prefers(g, at, found, home) {
			found = at
		}
	}
	return found, true
}

func (p *planner) prefers(g resources.Group, a, b place, home []string) bool {
	if c := a.cost.compare(b.cost); c != 0 {
		return c < 0
	}
	for _, node := range home {
		if node != "" && (a.node == node || b.node == node) {
			return a.node == node
		}
	}
	return p.load(g, a.node) < p.load(g, b.node)
}

// load is what a node has to carry beside the group.
func (p *planner) load(g resources.Group, node string) int {
	sum := 0
	for _, other := range p.Cluster.Groups {
		if other.Name != g.Name && p.at[other.Name] == node {
			sum += other.Weight
		}
	}
	return sum
}
