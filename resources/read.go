// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const nameRule = "letters, digits, -, _ and . are allowed, the first one a letter or digit"

// groupText is a group with the places that later checks need.
type groupText struct {
	Group
	at        place
	nodes     [][]item // as the file ranks them
	apart     []item
	threshold int
	members   []*resourceText
}

// resourceText is a resource likewise.
type resourceText struct {
	Resource
	*section
	group  item
	after  []item
	kind   Kind
	known  bool // the kind is
	places map[string]place
	// threshold says that the resource has its own.
	threshold bool
}

func (c *checker) readNode(s *section) {
	n := Node{Name: s.named("node", `^[a-zA-Z0-9][-.a-zA-Z0-9]*$`, "letters, digits, - and . are allowed, as in host names")}
	for _, i := range s.texts("address") {
		if a, ok := s.peer(i); ok {
			n.Addresses = append(n.Addresses, a)
		}
	}
	n.Witness = s.bool("witness", false)
	s.rest()
	if first, twice := c.nodes[n.Name]; twice && n.Name != "" {
		s.problem(s.at, "", "a node of that name is in line %d already", first.line)
		return
	}
	if n.Name != "" {
		c.nodes[n.Name] = s.at
		c.cluster.Nodes = append(c.cluster.Nodes, n)
	}
}

func (c *checker) readGroup(s *section) {
	g := &groupText{at: s.at}
	g.Name = s.named("group", `^[a-zA-Z0-9][-_.a-zA-Z0-9]*$`, nameRule)
	if k := s.key("nodes"); k != nil {
		g.nodes = s.ranks(k.value)
	}
	g.Failback = s.failback("failback")
	g.Stickiness = s.duration("stickiness", span{time.Minute, 0, 30 * 24 * time.Hour})
	g.apart = s.texts("apart_from")
	g.threshold = s.number("threshold", 3, 1, 1000)
	g.FailureWindow = s.duration("failure_window", span{10 * time.Minute, time.Second, 30 * 24 * time.Hour})
	g.Takeover = choice(s, "takeover", TakeoverLease, TakeoverLease, TakeoverFenced)
	g.HoldDown = s.duration("hold_down", span{time.Minute, 0, 24 * time.Hour})
	g.Weight = s.number("weight", 1, 0, 1000)
	s.rest()
	if first, twice := c.groups[g.Name]; twice && g.Name != "" {
		s.problem(s.at, "", "a group of that name is in line %d already", first.at.line)
		return
	}
	if g.Name != "" {
		c.groups[g.Name] = g
		c.groupOrder = append(c.groupOrder, g)
	}
}

// ranks reads nodes = ["a", ["b", "c"]]: a first, b and c alike.
func (s *section) ranks(v value) [][]item {
	var all [][]item
	if v.form == formText {
		return [][]item{s.items("nodes", v)}
	}
	if v.form != formList {
		s.problem(v.at, `write it as nodes = ["node1", "node2"]`, "nodes has to be an array of names, and is %s", v.form)
	}
	if v.form == formList && len(v.list) == 0 {
		s.problem(v.at, "name one, or leave nodes out to allow all", "nodes is empty")
	}
	seen := map[string]bool{}
	for _, e := range v.list {
		if e.form != formText && e.form != formList {
			s.problem(e.at, `write it in quotes`, "nodes has to be an array of names, and one of them is %s", e.form)
			continue
		}
		var rank []item
		for _, i := range s.items("nodes", e) {
			if seen[i.text] {
				s.problem(i.at, "", "nodes has %q twice", i.text)
				continue
			}
			seen[i.text] = true
			rank = append(rank, i)
		}
		if len(rank) > 0 {
			all = append(all, rank)
		}
	}
	return all
}

func (s *section) failback(name string) Failback {
	got := s.text(name, failbackNever)
	f, err := ParseFailback(got.text)
	if err != nil {
		s.problem(got.at, err.Error(), "%s = %q cannot be read", name, got.text)
	}
	return f
}

func (c *checker) readResource(s *section) {
	r := &resourceText{section: s, places: map[string]place{}}
	r.Name = s.named("resource", `^[a-zA-Z0-9][-_.a-zA-Z0-9]*$`, nameRule)
	s.required("kind", "there is "+enumerate(c.kinds.Names()))
	kind := s.text("kind", "")
	if r.kind, r.known = c.kinds.Kind(kind.text); !r.known && s.get("kind") != nil && s.get("kind").form == formText {
		s.problem(kind.at, DidYouMean(kind.text, c.kinds.Names()), "there is no kind %q", kind.text)
	}
	r.Kind = kind.text
	s.required("group", "every resource is in a group, if need be in one of its own")
	r.group = s.text("group", "")
	r.Group = r.group.text
	r.after = s.texts("after")
	r.OnFailure = choice(s, "on_failure", OnFailureRestart, OnFailureRestart, OnFailureMove, OnFailureStop, OnFailureIgnore)
	r.threshold = s.get("threshold") != nil
	r.Threshold = s.number("threshold", 3, 1, 1000)
	if r.threshold && r.OnFailure != OnFailureRestart {
		s.problem(s.placeOf("threshold"), "leave one of them out", "threshold is only for on_failure = %q", OnFailureRestart)
	}
	r.Standby = choice(s, "standby", Cold, Cold, Warm)
	if r.Standby == Warm && r.known && !r.kind.Warm {
		s.problem(s.placeOf("standby"), `leave it out, or write standby = "cold"`, "standby = %q: a %s must not run on two nodes", Warm, r.Kind)
	}
	r.StartTimeout = s.duration("start_timeout", span{cmp.Or(r.kind.StartTimeout, time.Minute), time.Second, 24 * time.Hour})
	r.StopTimeout = s.duration("stop_timeout", span{cmp.Or(r.kind.StopTimeout, time.Minute), 5 * time.Second, 24 * time.Hour})
	r.Monitors = slices.Clone(r.kind.Monitors)
	var depths []int
	for _, m := range s.subs("monitor") {
		m.label = s.label + ": monitor"
		depth := r.monitor(m)
		if depth >= 0 && slices.Contains(depths, depth) {
			m.problem(m.at, "take one of them out", "two of them have the depth %d", depth)
		}
		depths = append(depths, depth)
	}
	slices.SortFunc(r.Monitors, func(a, b Monitor) int { return a.Depth - b.Depth })
	if p := s.sub("params", s.label); p != nil {
		r.params(p)
	}
	s.rest()
	c.keepResource(r)
}

func (c *checker) keepResource(r *resourceText) {
	if first, twice := c.resources[r.Name]; twice {
		r.problem(r.section.at, "", "a resource of that name is in line %d already", first.section.at.line)
		return
	}
	if r.Name != "" { // without one, the rest of it is still looked at
		c.resources[r.Name] = r
	}
	c.order = append(c.order, r)
}

// monitor reads one that takes the place of the kind's of the same depth, and
// returns the depth; -1: it has none.
func (r *resourceText) monitor(s *section) int {
	s.required("depth", "it is 0, 10 or 20")
	m := Monitor{Depth: s.number("depth", -1, 0, 20), Interval: 30 * time.Second, Timeout: 20 * time.Second}
	if m.Depth > 0 && m.Depth%10 != 0 {
		s.problem(s.placeOf("depth"), "it is 0, 10 or 20", "there is no depth %d", m.Depth)
		m.Depth = -1
	}
	i := slices.IndexFunc(r.Monitors, func(o Monitor) bool { return o.Depth == m.Depth })
	if i >= 0 {
		m = r.Monitors[i]
		r.Monitors = slices.Delete(r.Monitors, i, i+1)
	}
	m.Interval = s.duration("interval", span{m.Interval, 0, 24 * time.Hour})
	m.Timeout = s.duration("timeout", span{m.Timeout, time.Second, time.Hour})
	if m.Interval > 0 && m.Interval < 100*time.Millisecond {
		s.problem(s.placeOf("interval"), `"0s" turns the monitor off`, "interval = %q is shorter than 100ms", Span(m.Interval))
	}
	s.rest()
	if m.Interval > 0 && m.Depth >= 0 {
		r.Monitors = append(r.Monitors, m)
	}
	return m.Depth
}

// params reads the agent's own.
func (r *resourceText) params(s *section) {
	r.Params = map[string]string{}
	for _, k := range s.keys {
		r.places[k.name] = k.value.at
		if _, ok := r.kind.Param(k.name); r.known && !ok {
			s.problem(k.at, DidYouMean(k.name, names(r.kind.Params, func(p Param) string { return p.Name })), "%s has no parameter %q", r.Kind, k.name)
			continue
		}
		if text, ok := s.param(k); ok {
			r.Params[k.name] = text
		}
	}
}

// param writes a value as OCF does, where everything is text.
func (s *section) param(k key) (string, bool) {
	list := []value{k.value}
	if k.form == formList {
		list = k.list
	}
	var texts []string
	for _, v := range list {
		switch {
		case v.form != formText && v.form != formNumber && v.form != formBool:
			s.problem(v.at, "write it in quotes", "parameter %s is %s, which parameters never are", k.name, v.form)
			return "", false
		case strings.ContainsFunc(v.text, func(r rune) bool { return r < ' ' || r == 0x7f }):
			s.problem(v.at, "", "parameter %s has a control character in it", k.name)
			return "", false
		case k.form == formList && (v.text == "" || strings.ContainsAny(v.text, " ")):
			s.problem(v.at, "write each word by itself", "parameter %s: %q is not one word, and the array's are put together with spaces", k.name, v.text)
			return "", false
		}
		texts = append(texts, v.text)
	}
	return strings.Join(texts, " "), true
}
