// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// Survey makes of what the nodes know what a plan depends on.
type Survey func(s state.Snapshot, c *resources.Cluster, now time.Time, at clock.Time) placement.State

// view is all that is shown, from one look at it.
type view struct {
	state.Snapshot
	cluster *resources.Cluster // an empty one if there is none
	known   bool               // there is one
	node    string
	now     time.Time
	at      clock.Time
	survey  Survey
	hearts  ears
	checks  []fencing.Check
	expires time.Time // this node's certificate; zero: it is not known
	place   placement.State
	plan    placement.Plan
}

func look(s state.Snapshot, c *resources.Cluster, node string, now time.Time, at clock.Time, survey Survey) *view {
	v := &view{Snapshot: s, cluster: c, known: c != nil, node: node, now: now, at: at, survey: survey}
	if c == nil {
		v.cluster = &resources.Cluster{}
	}
	v.place = survey(s, v.cluster, now, at)
	v.plan = placement.Make(v.place)
	return v
}

// with is the view as it would be with other wishes.
func (v *view) with(wishes []state.Wish) *view {
	s := v.Snapshot
	s.Wishes = wishes
	other := look(s, v.cluster, v.node, v.now, v.at, v.survey)
	other.hearts, other.checks, other.expires = v.hearts, v.checks, v.expires
	return other
}

// wish finds one that is not over.
func (v *view) wish(kind state.Kind, is func(state.Wish) bool) (state.Wish, bool) {
	i := slices.IndexFunc(v.Wishes, func(w state.Wish) bool { return w.Kind == kind && !w.Over(v.now) && is(w) })
	if i < 0 {
		return state.Wish{}, false
	}
	return v.Wishes[i], true
}

func (v *view) status() Status {
	s := Status{
		Cluster: v.cluster.Name, Node: v.node, Revision: v.Revision, At: v.now, Stale: v.Stale != nil,
		Nodes: []Node{}, Groups: []Group{}, Wishes: []Wish{},
		Config: ConfigRef{v.Config.Rev, v.Config.By, v.Config.Since},
	}
	for _, n := range v.cluster.Nodes {
		s.Nodes = append(s.Nodes, v.nodeOf(n))
	}
	for _, g := range v.cluster.Groups {
		s.Groups = append(s.Groups, v.groupOf(g))
	}
	for _, w := range v.Wishes {
		if w.Over(v.now) {
			continue
		}
		s.Wishes = append(s.Wishes, wishOf(w))
		if w.Kind == state.Maintenance {
			one := wishOf(w)
			s.Maintenance = &one
		}
	}
	s.Problems = v.problems()
	s.Health = health(s.Problems)
	return s
}

func health(problems []Problem) Health {
	worst := OK
	for _, p := range problems {
		switch {
		case p.Severity == SeverityError:
			return Error
		case p.Severity == SeverityWarning:
			worst = Warning
		}
	}
	return worst
}

func (v *view) nodeOf(n resources.Node) Node {
	out := Node{Name: n.Name, State: Offline, Witness: n.Witness, Addresses: []string{}, Groups: []string{}}
	for _, a := range n.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if present, ok := v.Nodes[n.Name]; ok {
		out.State, out.Since, out.Version = Online, present.Since, present.Version
		if _, ok := v.standby(n.Name); ok {
			out.State = OnStandby
		}
	}
	for _, g := range v.cluster.Groups {
		if v.Groups[g.Name].Owner == n.Name {
			out.Groups = append(out.Groups, g.Name)
		}
	}
	out.Fencing = fencingOf(v.Shots[n.Name])
	return out
}

func (v *view) standby(node string) (state.Wish, bool) {
	return v.wish(state.Standby, func(w state.Wish) bool { return w.Node == node })
}

func (v *view) groupOf(g resources.Group) Group {
	r, known := v.Groups[g.Name]
	if !known {
		r.Phase = state.Free
	}
	out := Group{
		Name: g.Name, Node: r.Owner, Phase: string(r.Phase), Since: r.Since, Epoch: r.Epoch, Why: r.Why,
		Nodes: []string{}, Failures: len(v.failures(g)), Resources: []Resource{},
	}
	_, present := v.Nodes[r.Owner]
	out.Lost = r.Owner != "" && !present
	for _, p := range g.Nodes {
		out.Nodes = append(out.Nodes, p.Node)
	}
	if d, ok := v.plan.Of(g.Name); ok {
		one := decisionOf(d)
		out.Plan = &one
	}
	for _, one := range g.Resources {
		out.Resources = append(out.Resources, v.resourceOf(one, r.Owner))
	}
	return out
}

// failures are those that still count.
func (v *view) failures(g resources.Group) []state.Failure {
	var all []state.Failure
	for _, f := range v.Groups[g.Name].Failures {
		if v.now.Sub(f.At) < g.FailureWindow {
			all = append(all, f)
		}
	}
	return all
}

func (v *view) resourceOf(r resources.Resource, owner string) Resource {
	out := Resource{Name: r.Name, Kind: r.Kind, Group: r.Group, Phase: PhaseUnknown, Addresses: []string{}, Warm: []string{}}
	if owner == "" {
		out.Phase = string(state.ResourceStopped)
	}
	if _, ok := v.wish(state.Stop, func(w state.Wish) bool { return w.Resource == r.Name }); ok {
		out.Wished = WishedStopped
	} else if _, ok := v.wish(state.Restart, func(w state.Wish) bool { return w.Resource == r.Name }); ok {
		out.Wished = WishedRestart
	}
	for _, n := range v.cluster.Nodes {
		told, ok := v.Reports[n.Name].Resource(r.Name)
		switch {
		case !ok:
		case n.Name != owner:
			if told.Phase == state.ResourceStarted || told.Phase == state.ResourceDegraded {
				out.Warm = append(out.Warm, n.Name)
			}
		default:
			out.Node, out.Phase, out.Since, out.Detail = n.Name, string(told.Phase), told.Since, told.Detail
			out.Sessions, out.Work, out.Failures = told.Sessions, told.Work, told.Failures
			out.Addresses = append(out.Addresses, told.Addresses...)
			if told.Left > 0 {
				age := max(0, v.now.Sub(v.Reports[n.Name].At))
				out.Left = max(0, told.Left-age).Round(100 * time.Millisecond).Seconds()
			}
		}
	}
	return out
}

func wishOf(w state.Wish) Wish {
	return Wish{
		Kind: string(w.Kind), Group: w.Group, Node: w.Node, Resource: w.Resource,
		By: w.By, Why: w.Why, Since: w.Since, Until: w.Until,
	}
}

func decisionOf(d placement.Decision) Decision {
	return Decision{
		Group: d.Group, Action: string(d.Action), Node: d.Node, From: d.From,
		NotBefore: d.NotBefore, Abandon: d.Abandon, Reason: sentence(d.Reason),
	}
}

// sentence is one without its full stop, as all of ours are.
func sentence(s string) string { return strings.TrimSuffix(s, ".") }

func (v *view) planned() Plan {
	p := Plan{Decisions: []Decision{}, Again: v.plan.Again}
	for _, d := range v.plan.Decisions {
		p.Decisions = append(p.Decisions, decisionOf(d))
	}
	return p
}

func differencesOf(all []placement.Difference) []Difference {
	out := []Difference{}
	for _, d := range all {
		out = append(out, Difference{Group: d.Group, From: d.From, To: d.To, Reason: sentence(d.Decision.Reason)})
	}
	return out
}
