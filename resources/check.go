// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// check looks at how the tables go together, and completes the cluster. What
// could not be read may be what seems to be missing, so that a torn document is
// looked at one resource at a time only.
func (c *checker) check() {
	for _, r := range c.order {
		c.checkParams(r)
	}
	if c.torn {
		return
	}
	c.checkNodes()
	for _, g := range c.groupOrder {
		c.checkGroup(g)
	}
	for _, r := range c.order {
		c.checkResource(r)
	}
	for _, g := range c.groupOrder {
		c.arrange(g)
	}
	c.checkUnique()
	for _, f := range c.fences {
		c.checkFence(f)
	}
	for _, g := range c.groupOrder {
		c.checkGuarded(g)
	}
	for _, g := range c.groupOrder {
		c.cluster.Groups = append(c.cluster.Groups, g.Group)
	}
}

func (c *checker) checkNodes() {
	s := c.empty("")
	if len(c.nodes) == 0 && c.root.get("node") == nil {
		s.problem(s.at, "begin each with a line [[node]]", "the cluster has no node")
	}
	owners := map[netip.Addr]string{}
	voters, runners := len(c.cluster.Nodes), 0
	for _, n := range c.cluster.Nodes {
		s.label = fmt.Sprintf("node %q", n.Name)
		at := c.nodes[n.Name]
		if len(n.Addresses) == 0 && voters > 1 {
			s.problem(at, `such as address = "192.0.2.11"`, "address is missing")
		}
		if !n.Witness {
			runners++
		}
		for _, a := range n.Addresses {
			if a.IsLoopback() && voters > 1 {
				s.problem(at, "", "the other nodes cannot reach %s", a)
			}
			if other, twice := owners[a]; twice {
				s.problem(at, "", "%s is the address of node %q already", a, other)
			}
			owners[a] = n.Name
		}
	}
	if runners == 0 && voters > 0 {
		s.label = ""
		s.problem(c.nodes[c.cluster.Nodes[0].Name], "take witness out of one", "every node is a witness: none can run anything")
	}
	if voters > MaxNodes {
		s.label = ""
		s.problem(c.nodes[c.cluster.Nodes[MaxNodes].Name], "", "the cluster has %d nodes, and may have %d", voters, MaxNodes)
	}
	c.checkPaths()
	if voters == 2 && !c.cluster.Etcd.External() {
		c.warn(c.clusterAt, "two nodes have no majority when one is lost, so that the other one lets go of everything too", "add a third node; witness = true makes it one that only votes")
	}
	if voters > 9 && !c.cluster.Etcd.External() {
		c.warn(c.clusterAt, fmt.Sprintf("%d members make the embedded etcd slow", voters), "set endpoints in [etcd] to an etcd of three or five members")
	}
}

// checkPaths warns of nodes that no heartbeat can go between: it takes an address of
// the same family on both.
func (c *checker) checkPaths() {
	for i, n := range c.cluster.Nodes {
		for _, o := range c.cluster.Nodes[:i] {
			reach := func(a netip.Addr) bool {
				return slices.ContainsFunc(o.Addresses, func(b netip.Addr) bool { return a.Is4() == b.Is4() })
			}
			if len(n.Addresses) > 0 && len(o.Addresses) > 0 && !slices.ContainsFunc(n.Addresses, reach) {
				c.warn(c.nodes[n.Name], fmt.Sprintf("no heartbeat can go between node %q and node %q: one has IPv4 addresses only, the other one IPv6", o.Name, n.Name), "give one of them an address of the other family")
			}
		}
	}
}

func (c *checker) checkGroup(g *groupText) {
	s := c.empty(fmt.Sprintf("group %q", g.Name))
	for rank, items := range g.nodes {
		for _, i := range items {
			n, ok := c.cluster.Node(i.text)
			switch {
			case !ok:
				s.problem(i.at, DidYouMean(i.text, names(c.cluster.Nodes, func(n Node) string { return n.Name })), "node %q is not in [[node]]", i.text)
			case n.Witness:
				s.problem(i.at, "take it out of nodes", "node %q is a witness and runs nothing", i.text)
			default:
				g.Nodes = append(g.Nodes, Preference{Node: i.text, Rank: rank})
			}
		}
	}
	if g.nodes == nil {
		for _, n := range c.cluster.Nodes {
			if !n.Witness {
				g.Nodes = append(g.Nodes, Preference{Node: n.Name})
			}
		}
	}
	for _, i := range g.apart {
		other, ok := c.groups[i.text]
		switch {
		case !ok:
			s.problem(i.at, DidYouMean(i.text, names(c.groupOrder, func(g *groupText) string { return g.Name })), "group %q in apart_from is not in [[group]]", i.text)
		case other == g:
			s.problem(i.at, "", "apart_from has the group itself")
		default:
			// What holds one way holds the other way.
			g.ApartFrom = insert(g.ApartFrom, other.Name)
			other.ApartFrom = insert(other.ApartFrom, g.Name)
		}
	}
}

func insert(list []string, name string) []string {
	i, found := slices.BinarySearch(list, name)
	if found {
		return list
	}
	return slices.Insert(list, i, name)
}

func (c *checker) checkResource(r *resourceText) {
	g, ok := c.groups[r.group.text]
	if !ok {
		if r.get("group") != nil {
			r.problem(r.group.at, DidYouMean(r.group.text, names(c.groupOrder, func(g *groupText) string { return g.Name })), "group %q is not in [[group]]", r.group.text)
		}
		return
	}
	g.members = append(g.members, r)
	if !r.threshold {
		r.Threshold = g.threshold
	}
	for _, i := range r.after {
		other, ok := c.resources[i.text]
		switch {
		case !ok:
			r.problem(i.at, DidYouMean(i.text, names(c.order, func(r *resourceText) string { return r.Name })), "resource %q in after is not in [[resource]]", i.text)
		case other == r:
			r.problem(i.at, "", "after has the resource itself")
		case other.group.text != r.group.text:
			r.problem(i.at, "groups come and go by themselves; put both into one group, or take it out of after", "resource %q in after is in group %q", i.text, other.group.text)
		default:
			r.After = append(r.After, i.text)
		}
	}
}

// arrange puts the group's resources into the order in which they start:
// whatever is first in the file of those that need not wait.
func (c *checker) arrange(g *groupText) {
	if len(g.members) == 0 {
		c.warn(g.at, fmt.Sprintf("group %q has no resource", g.Name), "")
	}
	left := slices.Clone(g.members)
	for len(left) > 0 {
		waits := func(r *resourceText) bool {
			return slices.ContainsFunc(left, func(o *resourceText) bool { return slices.Contains(r.After, o.Name) })
		}
		i := slices.IndexFunc(left, func(r *resourceText) bool { return !waits(r) })
		if i < 0 {
			i = c.circle(left)
		}
		g.Resources = append(g.Resources, left[i].Resource)
		left = slices.Delete(left, i, i+1)
	}
}

// circle reports a circle among resources that all wait for another one of
// them, and returns the index of one that is in it.
func (c *checker) circle(left []*resourceText) int {
	var way []string
	r := left[0]
	for !slices.Contains(way, r.Name) {
		way = append(way, r.Name)
		next := slices.IndexFunc(left, func(o *resourceText) bool { return slices.Contains(r.After, o.Name) })
		r = left[next]
	}
	way = way[slices.Index(way, r.Name):]
	// It begins with the one that is first in the file.
	first := slices.IndexFunc(left, func(o *resourceText) bool { return slices.Contains(way, o.Name) })
	i := slices.Index(way, left[first].Name)
	way = append(append(slices.Clone(way[i:]), way[:i]...), way[i])
	left[first].problem(left[first].placeOf("after"), "take one of them out of the other's after", "after leads in a circle: %s", strings.Join(way, " after "))
	return first
}

func (c *checker) checkParams(r *resourceText) {
	if !r.known || r.kind.Check == nil {
		return
	}
	problems := r.kind.Check(r.Params)
	slices.SortFunc(problems, func(a, b ParamProblem) int { return strings.Compare(a.Param+"\x00"+a.What, b.Param+"\x00"+b.What) })
	for _, p := range problems {
		at, ok := r.places[p.Param]
		if _, set := r.Params[p.Param]; ok != set || !ok && c.torn {
			continue // it could not be read, which has been told
		}
		if !ok {
			at = r.placeOf("params")
		}
		what := p.What
		if p.Param != "" {
			what = "parameter " + p.Param + ": " + what
		}
		r.problem(at, p.Hint, "%s", what)
	}
}

// checkGuarded warns of data that two nodes could write to: where a lost node's lease is all
// that is waited for, and neither a fence device nor its watchdog proves that it is off.
func (c *checker) checkGuarded(g *groupText) {
	if g.Takeover == TakeoverFenced || c.cluster.Watchdog.Mode == WatchdogRequired || len(g.Nodes) < 2 {
		return
	}
	i := slices.IndexFunc(g.Nodes, func(p Preference) bool { return !c.fenced(p.Node) })
	if i < 0 {
		return
	}
	for _, r := range g.members {
		if !r.known || r.kind.Unguarded == nil {
			continue
		}
		if what := r.kind.Unguarded(r.Params); what != "" {
			c.warn(r.placeOf("params"), fmt.Sprintf("resource %q: two nodes may write to %s at once: when node %q hangs, another one takes over after its lease, and nothing proves that it is off", r.Name, what, g.Nodes[i].Node),
				`give each of the group's nodes a [[fence]], or the group takeover = "fenced", or set [watchdog] mode = "required"; or use ext4 with multi-mount protection, and say require_mmp = true`)
		}
	}
}

// fenced says whether a device can switch a node off.
func (c *checker) fenced(node string) bool {
	return slices.ContainsFunc(c.fences, func(f *fenceText) bool { _, ok := f.ports[node]; return ok })
}
