// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// judge collects what is wrong.
type judge struct {
	*view
	problems []Problem
}

// problems are what a person should know, the worst first, and otherwise in the
// order in which one thing leads to the next: cluster, nodes, groups, resources.
func (v *view) problems() []Problem {
	j := &judge{view: v, problems: []Problem{}}
	j.store()
	j.certificate()
	if v.known {
		j.nodes()
		j.hearing()
		j.devices()
		for _, g := range v.cluster.Groups {
			j.group(g)
		}
		j.strays()
		for _, w := range v.cluster.Warnings {
			j.add(SeverityWarning, Problem{What: "configuration, line " + fmt.Sprint(w.Line) + ": " + w.What, Hint: w.Hint})
		}
	}
	j.wishes()
	slices.SortStableFunc(j.problems, func(a, b Problem) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	return j.problems
}

func (s Severity) rank() int {
	return slices.Index([]Severity{SeverityError, SeverityWarning, SeverityNote}, s)
}

func (j *judge) add(s Severity, p Problem) {
	p.Severity = s
	p.What, p.Hint = sentence(p.What), sentence(p.Hint)
	j.problems = append(j.problems, p)
}

func (j *judge) store() {
	if j.Stale != nil {
		j.add(SeverityError, Problem{
			What: fmt.Sprintf("what is shown may be old, as %s cannot reach most of the cluster: %s", j.node, j.Stale),
			Hint: "see which nodes are down; on each: systemctl status mailhad",
		})
	}
	for _, err := range j.Faults {
		j.add(SeverityError, Problem{What: err.Error()})
	}
	if !j.known && j.Stale == nil {
		j.add(SeverityError, Problem{
			What: "the cluster has no configuration yet, and runs nothing",
			Hint: "mailhactl config apply /etc/mailha/mailha.toml",
		})
	}
}

func (j *judge) nodes() {
	present, voters := 0, 0
	versions := map[string][]string{}
	for _, n := range j.cluster.Nodes {
		voters++
		record, ok := j.Nodes[n.Name]
		if ok {
			present++
			versions[record.Version] = append(versions[record.Version], n.Name)
		} else if j.Stale == nil {
			j.absent(n)
		}
		if j.Stale == nil {
			j.shot(n)
		}
		if w, ok := j.standby(n.Name); ok {
			j.add(SeverityNote, Problem{
				What: n.Name + " is on standby and runs nothing" + asked(w, j.now), Hint: "mailhactl node online " + n.Name, Node: n.Name,
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Nodes)) {
		if _, ok := j.cluster.Node(name); !ok {
			j.add(SeverityWarning, Problem{What: name + " is present, but not in the configuration", Hint: "put it into the configuration, or stop mailhad on it", Node: name})
		}
	}
	// Losing one more would leave no majority.
	if lost := voters - present; lost > 0 && present > 0 && present == voters/2+1 && !j.cluster.Etcd.External() && j.Stale == nil {
		j.add(SeverityWarning, Problem{
			What: fmt.Sprintf("%d of %d nodes are present: if one more is lost, nothing runs anywhere", present, voters),
			Hint: "bring back what is missing",
		})
	}
	if len(versions) > 1 {
		var parts []string
		for _, version := range slices.Sorted(maps.Keys(versions)) {
			parts = append(parts, strings.Join(versions[version], " and ")+" run "+cmp.Or(version, "an unknown version"))
		}
		j.add(SeverityNote, Problem{What: "the nodes run different versions: " + strings.Join(parts, ", ")})
	}
}

func (j *judge) absent(n resources.Node) {
	p := Problem{What: n.Name + " is not present", Node: n.Name, Hint: "if it is up, look there: systemctl status mailhad"}
	if n.Witness {
		p.What += "; it is the witness"
	}
	j.add(SeverityError, p)
}

func (j *judge) group(g resources.Group) {
	r, d := j.Groups[g.Name], placement.Decision{}
	if one, ok := j.plan.Of(g.Name); ok {
		d = one
	}
	at := Problem{Group: g.Name, Node: r.Owner}
	say := func(s Severity, what, hint string) {
		p := at
		p.What, p.Hint = what, hint
		j.add(s, p)
	}
	explain := "mailhactl explain " + g.Name
	_, present := j.Nodes[r.Owner]
	if stop, ok := j.wish(state.StopGroup, func(w state.Wish) bool { return w.Group == g.Name }); ok {
		say(SeverityNote, "group "+g.Name+" is to be stopped"+asked(stop, j.now), "mailhactl group start "+g.Name)
		if r.Owner == "" {
			return
		}
	}
	switch {
	case r.Phase == state.Failed:
		say(SeverityError, fmt.Sprintf("group %s could not be stopped on %s: %s", g.Name, r.Owner, cmp.Or(r.Why, "no reason is known")),
			"on "+r.Owner+": journalctl -u mailhad; mend it, or switch that node off, then mailhactl node fenced "+r.Owner)
	case r.Owner != "" && !present && j.Stale == nil:
		say(SeverityError, fmt.Sprintf("group %s is down: %s", g.Name, d.Reason), explain)
	case r.Owner == "" && (d.Action == placement.Wait || d.Action == placement.Keep || d.Action == placement.Stop):
		say(SeverityError, fmt.Sprintf("group %s runs nowhere: %s", g.Name, d.Reason), explain)
	case r.Owner == "":
		say(SeverityWarning, fmt.Sprintf("group %s is about to start on %s: %s", g.Name, d.Node, d.Reason), "")
	case r.Phase == state.Starting:
		say(SeverityWarning, fmt.Sprintf("group %s is starting on %s%s", g.Name, r.Owner, since(r.Since, j.now)), "")
	case r.Phase == state.Stopping:
		say(SeverityWarning, fmt.Sprintf("group %s is stopping on %s%s", g.Name, r.Owner, since(r.Since, j.now)), "")
	case d.Action == placement.Move:
		say(SeverityWarning, fmt.Sprintf("group %s is to move from %s to %s: %s", g.Name, r.Owner, d.Node, d.Reason), "")
	case d.Action == placement.Wait:
		say(SeverityNote, fmt.Sprintf("group %s stays on %s: %s", g.Name, r.Owner, d.Reason), explain)
	}
	if r.Owner == "" || !present {
		return
	}
	for _, one := range g.Resources {
		j.resource(g, one, r, slices.Contains(d.Abandon, one.Name))
	}
}

// slack is how long a node may take to tell of a resource that it has to.
const slack = 10 * time.Second

func (j *judge) resource(g resources.Group, r resources.Resource, owned state.Group, abandoned bool) {
	at := Problem{Group: g.Name, Node: owned.Owner, Resource: r.Name}
	say := func(s Severity, what, hint string) {
		p := at
		p.What, p.Hint = what, hint
		j.add(s, p)
	}
	stop, stopped := j.wish(state.Stop, func(w state.Wish) bool { return w.Resource == r.Name })
	told, known := j.Reports[owned.Owner].Resource(r.Name)
	explain := "mailhactl explain " + r.Name
	switch {
	case stopped:
		say(SeverityNote, r.Name+" is to be stopped"+asked(stop, j.now), "mailhactl resource start "+r.Name)
	case told.Phase == state.ResourceFailed, abandoned:
		say(SeverityError, fmt.Sprintf("%s does not run on %s%s", r.Name, owned.Owner, colon(told.Detail)), "mend it, then mailhactl resource start "+r.Name)
		return
	case told.Phase == state.ResourceDegraded:
		say(SeverityWarning, fmt.Sprintf("%s on %s is not well%s", r.Name, owned.Owner, colon(told.Detail)), explain)
	case owned.Phase != state.Running:
		// Its group tells already.
	case !known && j.now.Sub(owned.Since) > slack:
		say(SeverityWarning, fmt.Sprintf("%s tells nothing of %s", owned.Owner, r.Name), "on "+owned.Owner+": journalctl -u mailhad")
	case known && told.Phase == state.ResourceStopped:
		say(SeverityError, fmt.Sprintf("%s is stopped on %s%s", r.Name, owned.Owner, colon(told.Detail)), explain)
	case known && told.Phase != state.ResourceStarted:
		say(SeverityWarning, fmt.Sprintf("%s is %s on %s%s%s", r.Name, told.Phase, owned.Owner, since(told.Since, j.now), colon(told.Detail)), "")
	}
	j.failed(g, r, owned.Owner)
}

// failed tells of failures that count though all is well again.
func (j *judge) failed(g resources.Group, r resources.Resource, node string) {
	count := 0
	for _, f := range j.failures(g) {
		if f.Resource == r.Name && f.Node == node {
			count++
		}
	}
	if count == 0 {
		return
	}
	what := fmt.Sprintf("%s failed %s on %s within %s", r.Name, times(count), node, resources.Span(g.FailureWindow))
	if r.OnFailure == resources.OnFailureRestart {
		what += fmt.Sprintf("; at %s its group moves", times(r.Threshold))
	}
	j.add(SeverityWarning, Problem{What: what, Hint: "when it is mended: mailhactl failures forget " + r.Name, Group: g.Name, Node: node, Resource: r.Name})
}

// strays are groups that the configuration does not have and somebody owns.
func (j *judge) strays() {
	for _, name := range slices.Sorted(maps.Keys(j.Groups)) {
		r := j.Groups[name]
		if _, ok := j.cluster.Group(name); !ok && r.Owner != "" {
			j.add(SeverityWarning, Problem{
				What: fmt.Sprintf("group %s is no longer in the configuration and is %s on %s", name, r.Phase, r.Owner), Group: name, Node: r.Owner,
			})
		}
	}
}

// wishes tells of what operators asked for and others may not expect.
func (j *judge) wishes() {
	for _, w := range j.Wishes {
		switch {
		case w.Kind == state.Maintenance && w.Over(j.now):
			j.add(SeverityWarning, Problem{
				What: fmt.Sprintf("the maintenance of %s ended by itself %s; the cluster acts again", w.By, ago(w.Until, j.now)), Hint: "mailhactl maintenance off, or on again",
			})
		case w.Kind == state.Maintenance:
			j.add(SeverityWarning, Problem{
				What: "maintenance: nothing is started, stopped, moved or repaired" + asked(w, j.now), Hint: "mailhactl maintenance off",
			})
		case w.Over(j.now):
		case w.Kind == state.Hear:
			j.add(SeverityError, Problem{
				What: "the cluster was restored, and what " + w.Node + " may still run is not known; no group starts before it is",
				Hint: "start mailhad there; or make sure that it is off, then mailhactl node fenced " + w.Node, Node: w.Node,
			})
		case w.Kind == state.Ban:
			j.add(SeverityNote, Problem{
				What: fmt.Sprintf("group %s is banned from %s%s", w.Group, w.Node, asked(w, j.now)), Hint: "mailhactl group unban " + w.Group + " " + w.Node,
				Group: w.Group, Node: w.Node,
			})
		case w.Kind == state.Fence:
			j.add(SeverityWarning, Problem{What: w.Node + " is to be fenced" + asked(w, j.now), Node: w.Node})
		case w.Kind == state.Fenced && w.AsOf != 0: // told already
		case w.Kind == state.Fenced:
			j.add(SeverityNote, Problem{What: w.Node + " is taken as switched off" + asked(w, j.now), Node: w.Node})
		}
	}
}
