// SPDX-License-Identifier: Apache-2.0

package pacemaker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// Form is which tool's words are written.
type Form string

// The forms.
const (
	Crmsh Form = "crmsh"
	PCS   Form = "pcs"
)

// Scores. Apart binds more than staying, and staying more than preferring, as in
// mailhad.
const (
	apart  = -900_000 // a million is never
	stay   = 10_000
	prefer = 100 // for each rank
)

// Write is the cluster's configuration in one of the forms. The types are the
// agents that ship; they say what can be promoted.
func Write(c *resources.Cluster, types []agents.Type, form Form) (string, error) {
	t := &translation{cluster: c, types: types, taken: map[string]bool{}, ids: map[string]string{}}
	if err := t.translate(); err != nil {
		return "", err
	}
	if form == PCS {
		return t.pcs(), nil
	}
	return t.crmsh(), nil
}

// translation is what Pacemaker is to be told, in no tool's words yet.
type translation struct {
	cluster *resources.Cluster
	types   []agents.Type
	taken   map[string]bool   // IDs
	ids     map[string]string // of resources
	groups  []group
	apart   [][2]handle
	devices []device
	levels  []level // none: no node has several devices
}

// handle is what constraints hold: a primitive, a group, or where a clone is promoted.
type handle struct {
	id       string
	promoted bool
}

// group is one of mailhad's.
type group struct {
	name       string
	anchor     string // a resource that does nothing, for the others to be with; empty: none is needed
	chain      string // Pacemaker's group; empty: none
	handle     handle
	primitives []primitive
	bonds      []bond
	prefer     []preference
	never      []string // nodes
	notes      []string
}

type primitive struct {
	id, kind string
	clone    string // empty: not promotable
	params   [][2]string
	ops      []op
	meta     [][2]string
}

type op struct {
	name, onFail, role string
	interval, timeout  time.Duration
	depth              int
}

// bond is a resource that is with another one and after it.
type bond struct{ first, then handle }

type preference struct {
	node  string
	score int
}

func (t *translation) translate() error {
	for _, g := range t.cluster.Groups {
		for _, r := range g.Resources {
			t.ids[r.Name] = t.id(r.Name)
		}
	}
	handles := map[string]handle{}
	for _, g := range t.cluster.Groups {
		if len(g.Resources) == 0 {
			continue
		}
		out, err := t.group(g)
		if err != nil {
			return err
		}
		handles[g.Name] = out.handle
		t.groups = append(t.groups, out)
		for _, other := range g.ApartFrom {
			if h, ok := handles[other]; ok { // the second of the two says it
				t.apart = append(t.apart, [2]handle{out.handle, h})
			}
		}
	}
	return t.fences()
}

// id makes a name that XML takes as an ID, and nothing else has.
func (t *translation) id(name string) string {
	if name[0] >= '0' && name[0] <= '9' {
		name = "r_" + name
	}
	id := name
	for n := 2; t.taken[id]; n++ {
		id = fmt.Sprintf("%s_%d", name, n)
	}
	t.taken[id] = true
	return id
}

func (t *translation) group(g resources.Group) (group, error) {
	out := group{name: g.Name}
	clones := map[string]handle{}
	for _, r := range g.Resources {
		p, err := t.primitive(g, r)
		if err != nil {
			return out, err
		}
		out.primitives = append(out.primitives, p)
		clones[r.Name] = handle{id: p.id}
		if p.clone != "" {
			clones[r.Name] = handle{p.clone, true}
		}
		if r.Standby == resources.Warm && p.clone == "" {
			out.notes = append(out.notes, r.Name+` is standby = "warm" in mailha.toml: Pacemaker starts it on one node only`)
		}
	}
	t.arrange(g, &out, clones)
	ranks := 0
	for _, n := range g.Nodes {
		ranks = max(ranks, n.Rank+1)
	}
	for _, n := range g.Nodes {
		if ranks > 1 {
			out.prefer = append(out.prefer, preference{n.Node, prefer * (ranks - n.Rank)})
		}
	}
	for _, n := range t.cluster.Nodes {
		if _, may := g.Rank(n.Name); !may && !n.Witness {
			out.never = append(out.never, n.Name)
		}
	}
	if !g.Failback.Never() && !g.Failback.Always {
		out.notes = append(out.notes, fmt.Sprintf("failback = %q: Pacemaker is told never; see \"rule\" in its manual for times", g.Failback))
	}
	return out, nil
}

// arrange says how the resources of a group hang together. A row in which each is
// after the one before is a group of Pacemaker's. Else those that are after
// another one are with it, and what is after nothing is with the only one of that
// kind, or with an anchor: so that each of them can be stopped alone.
func (t *translation) arrange(g resources.Group, out *group, handles map[string]handle) {
	var roots []string
	row := true
	for i, r := range g.Resources {
		if len(r.After) == 0 {
			roots = append(roots, r.Name)
		}
		row = row && !handles[r.Name].promoted && (i == 0 && len(r.After) == 0 || i > 0 && slices.Contains(r.After, g.Resources[i-1].Name))
	}
	switch {
	case row && len(g.Resources) > 1:
		out.chain = t.id(g.Name)
		out.handle = handle{id: out.chain}
		return
	case len(roots) == 1:
		out.handle = handles[roots[0]]
	default:
		out.anchor = t.id(g.Name)
		out.handle = handle{id: out.anchor}
		for _, r := range roots {
			out.bonds = append(out.bonds, bond{out.handle, handles[r]})
		}
	}
	for _, r := range g.Resources {
		for _, a := range r.After {
			out.bonds = append(out.bonds, bond{handles[a], handles[r.Name]})
		}
	}
}

func (t *translation) primitive(g resources.Group, r resources.Resource) (primitive, error) {
	p := primitive{id: t.ids[r.Name], kind: r.Kind}
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		if strings.ContainsFunc(r.Params[name], unicode.IsControl) {
			return p, fmt.Errorf("resource %q: parameter %s has a line break or another control character, which cannot be written down here", r.Name, name)
		}
		p.params = append(p.params, [2]string{name, r.Params[name]})
	}
	promotable := t.promotable(r.Kind)
	if promotable {
		p.clone = t.id("c_" + r.Name)
	}
	p.ops = []op{{name: "start", timeout: r.StartTimeout}, {name: "stop", timeout: r.StopTimeout}}
	if promotable {
		p.ops = append(p.ops, op{name: "promote", timeout: r.StartTimeout}, op{name: "demote", timeout: r.StopTimeout})
	}
	p.monitors(r, promotable)
	p.meta = append(p.meta, [2]string{"migration-threshold", fmt.Sprint(threshold(r))})
	p.meta = append(p.meta, [2]string{"failure-timeout", seconds(g.FailureWindow)})
	if !g.Failback.Always {
		p.meta = append(p.meta, [2]string{"resource-stickiness", fmt.Sprint(stay)})
	}
	return p, nil
}

// threshold is the number of failures at which a resource moves.
func threshold(r resources.Resource) int {
	switch r.OnFailure {
	case resources.OnFailureMove:
		return 1
	case resources.OnFailureRestart:
		return r.Threshold
	}
	return 0 // never
}

// monitors are those of the resource. Pacemaker wants different intervals of all of
// them, also of those of the two roles.
func (p *primitive) monitors(r resources.Resource, promotable bool) {
	used := map[time.Duration]bool{}
	add := func(m resources.Monitor, role string) {
		every := m.Interval
		for used[every] {
			every -= time.Second
			if every <= 0 {
				every = m.Interval + time.Duration(len(used))*time.Second
			}
		}
		used[every] = true
		o := op{name: "monitor", interval: every, timeout: m.Timeout, depth: m.Depth, role: role}
		switch r.OnFailure {
		case resources.OnFailureStop:
			o.onFail = "stop"
		case resources.OnFailureIgnore:
			o.onFail = "ignore"
		}
		p.ops = append(p.ops, o)
	}
	for _, m := range r.Monitors {
		if m.Interval == 0 {
			continue
		}
		if !promotable {
			add(m, "")
			continue
		}
		add(m, "Unpromoted")
		add(m, "Promoted")
	}
}

func (t *translation) promotable(kind string) bool {
	for _, one := range t.types {
		if one.Name == kind {
			_, is := one.New(agents.Env{Kind: kind, Instance: "x"}).(agents.Promoter)
			return is
		}
	}
	return false
}

// seconds writes a span of time as Pacemaker reads it: whole seconds, or
// milliseconds.
func seconds(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}

// heading is what both forms begin with.
func (t *translation) heading(how ...string) []string {
	lines := append([]string{fmt.Sprintf("The cluster %q of a mailha.toml, for Pacemaker:", t.cluster.Name)}, how...)
	before := "Before it: fencing that works, the same names of nodes, and mailhad stopped and"
	if len(t.devices) > 0 {
		before = "Before it: the same names of nodes, and mailhad stopped and"
	}
	lines = append(lines, before, "disabled on all of them; two engines must never run the same resources.")
	if len(t.devices) > 0 {
		lines = append(lines, "After it: each fence device tried, by stonith_admin -B NODE.")
	}
	for _, n := range t.cluster.Nodes {
		if n.Witness {
			lines = append(lines, fmt.Sprintf("%s only votes: see corosync-qdevice(8) for the same in Corosync.", n.Name))
		}
	}
	return lines
}
