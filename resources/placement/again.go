// SPDX-License-Identifier: Apache-2.0

package placement

import "time"

// again is the next time at which something ends or begins that a plan may
// depend on. It is rather too early than too late.
func (p *planner) again() time.Time {
	var first time.Time
	look := func(t time.Time) {
		if t.After(p.Now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	order := func(o *Order) {
		if o != nil {
			look(o.Until)
		}
	}
	order(p.Maintenance)
	look(p.gathered())
	for _, n := range p.Nodes {
		order(n.Standby)
		order(n.Maintenance)
	}
	for _, g := range p.Cluster.Groups {
		st := p.Groups[g.Name]
		order(st.Stopped)
		if st.Wish != nil {
			order(&st.Wish.Order)
		}
		for _, b := range st.Bans {
			order(&b.Order)
		}
		for _, f := range st.Failures {
			look(expired(g, f))
		}
		for _, n := range g.Nodes {
			for _, r := range g.Resources {
				_, until := p.spent(g, st, r, n.Node)
				look(until)
			}
		}
		for _, m := range st.Moves {
			look(m.When.Add(p.Cluster.MovesWindow))
		}
		look(p.quiet(g, st))
		look(st.FreeAt)
		if g.Failback.Never() {
			continue
		}
		look(g.Failback.Next(p.Now))
		look(g.Failback.Until(p.Now))
		for _, n := range g.Nodes {
			if node := p.Nodes[n.Node]; node.Present {
				back := node.Since.Add(g.Stickiness)
				look(back)
			}
		}
	}
	return first
}
