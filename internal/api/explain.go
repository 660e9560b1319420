// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// group finds one by name, or says what there is.
func (v *view) group(name string) (resources.Group, error) {
	if g, ok := v.cluster.Group(name); ok {
		return g, nil
	}
	hint := "mailhactl status lists the groups"
	if r, ok := v.cluster.Resource(name); ok {
		hint = "it is a resource of group " + r.Group
	}
	return resources.Group{}, fault(CodeNotFound, hint, "there is no group %q", name)
}

func (v *view) resource(name string) (resources.Resource, resources.Group, error) {
	if r, ok := v.cluster.Resource(name); ok {
		g, _ := v.cluster.Group(r.Group)
		return r, g, nil
	}
	hint := "mailhactl status lists the resources"
	if _, ok := v.cluster.Group(name); ok {
		hint = "it is a group"
	}
	return resources.Resource{}, resources.Group{}, fault(CodeNotFound, hint, "there is no resource %q", name)
}

// runner finds a node that may run something.
func (v *view) runner(name string) (resources.Node, error) {
	n, ok := v.cluster.Node(name)
	if !ok {
		return n, fault(CodeNotFound, "mailhactl status lists the nodes", "there is no node %q", name)
	}
	if n.Witness {
		return n, fault(CodeRefused, "", "%s is the witness, and never runs anything", name)
	}
	return n, nil
}

func (v *view) explain(name string) (Explanation, error) {
	r, isResource := v.cluster.Resource(name)
	if isResource {
		if _, alsoGroup := v.cluster.Group(name); alsoGroup {
			isResource = false // the group has it
		}
	}
	groupName := name
	if isResource {
		groupName = r.Group
	}
	g, err := v.group(groupName)
	if err != nil {
		return Explanation{}, fault(CodeNotFound, "mailhactl status lists them", "there is neither a group nor a resource %q", name)
	}
	e := Explanation{
		Name: name, Resource: isResource, Group: v.groupOf(g), Sentences: []string{}, Nodes: []Verdict{}, Problems: []Problem{}, Failures: []Failure{},
		Limits: GroupLimit{FailureWindow: g.FailureWindow.Seconds(), Failback: g.Failback.String()},
	}
	say := func(format string, args ...any) { e.Sentences = append(e.Sentences, fmt.Sprintf(format, args...)) }
	if isResource {
		v.explainResource(r, say)
	}
	v.explainGroup(g, say)
	for _, one := range placement.Explain(v.place, g.Name) {
		e.Nodes = append(e.Nodes, Verdict{Node: one.Node, Rank: one.Rank, Why: sentence(one.Why), Load: one.Load})
	}
	for _, p := range v.problems() {
		if p.Group == g.Name && (!isResource || p.Resource == "" || p.Resource == name) {
			e.Problems = append(e.Problems, p)
		}
	}
	for _, f := range v.failures(g) {
		if !isResource || f.Resource == name {
			e.Failures = append(e.Failures, Failure{f.Node, f.Resource, f.At})
		}
	}
	return e, nil
}

func (v *view) explainGroup(g resources.Group, say func(string, ...any)) {
	r, known := v.Groups[g.Name]
	switch {
	case !known:
		say("group %s has never run", g.Name)
	case r.Owner == "":
		say("group %s runs nowhere%s%s", g.Name, since(r.Since, v.now), colon(sentence(r.Why)))
	default:
		say("group %s is %s on %s%s, under epoch %d%s", g.Name, r.Phase, r.Owner, since(r.Since, v.now), r.Epoch, colon(sentence(r.Why)))
	}
	if r.Former != "" && r.Former != r.Owner {
		say("it was on %s before", r.Former)
	}
	if d, ok := v.plan.Of(g.Name); ok {
		when := ""
		if !d.NotBefore.IsZero() {
			when = fmt.Sprintf(" (until %s at least)", d.NotBefore.Local().Format("15:04:05"))
		}
		say("the plan is to %s%s: %s", planWords(d), when, sentence(d.Reason))
	}
	for _, w := range v.Wishes {
		if w.Group == g.Name && !w.Over(v.now) {
			say("%s%s", w, asked(w, v.now))
		}
	}
	if len(g.ApartFrom) > 0 {
		say("it is to be apart from %s", enumerate(g.ApartFrom))
	}
}

func (v *view) explainResource(r resources.Resource, say func(string, ...any)) {
	owner := v.Groups[r.Group].Owner
	told := v.resourceOf(r, owner)
	switch {
	case owner == "":
		say("%s is stopped, since its group %s runs nowhere", r.Name, r.Group)
	case told.Phase == PhaseUnknown:
		say("%s belongs on %s, which owns its group %s, but %s tells nothing of it", r.Name, owner, r.Group, owner)
	default:
		say("%s is %s on %s%s%s", r.Name, told.Phase, owner, since(told.Since, v.now), colon(told.Detail))
	}
	if w, ok := v.wish(state.Stop, func(w state.Wish) bool { return w.Resource == r.Name }); ok {
		say("it is to be stopped%s", asked(w, v.now))
	}
	if len(r.After) > 0 {
		say("it starts after %s, and is stopped before", enumerate(r.After))
	}
	if len(told.Warm) > 0 {
		say("it is up as well on %s, without its addresses", enumerate(told.Warm))
	}
	switch r.OnFailure {
	case resources.OnFailureRestart:
		say("when it fails it is restarted on the spot; the failure that makes it %s moves its group", times(r.Threshold))
	case resources.OnFailureMove:
		say("when it fails its group moves at once")
	case resources.OnFailureStop:
		say("when it fails it is stopped, and the rest of its group stays")
	case resources.OnFailureIgnore:
		say("when it fails nothing is done about it")
	}
}

// planWords are a decision in a few words.
func planWords(d placement.Decision) string {
	switch d.Action {
	case placement.Start:
		return "start it on " + d.Node
	case placement.Take:
		return "take it over on " + d.Node + " from " + d.From
	case placement.Move:
		return "move it from " + d.From + " to " + d.Node
	case placement.Stop:
		return "stop it on " + d.From
	case placement.Keep:
		if d.Node == "" {
			return "leave it stopped"
		}
		return "leave it on " + d.Node
	}
	return "wait"
}

// enumerate writes a, b and c.
func enumerate(all []string) string {
	last := len(all) - 1
	if last < 1 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

func (v *view) whatIf(what, node string) (WhatIf, error) {
	if _, err := v.runner(node); err != nil {
		return WhatIf{}, err
	}
	var change func(*placement.State)
	out := WhatIf{}
	switch what {
	case "node-down":
		change, out.If = placement.NodeDown(node), node+" were lost"
	case "node-up":
		change, out.If = placement.NodeUp(node), node+" came back"
	case "node-standby":
		change, out.If = placement.NodeStandby(node), node+" were on standby"
	default:
		return out, fault(CodeNotFound, "it may be node-down, node-up or node-standby", "nobody knows what %q would be", what)
	}
	out.Differences = differencesOf(placement.WhatIf(v.place, change))
	return out, nil
}
