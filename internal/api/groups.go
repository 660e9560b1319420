// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// move has a group go to a node: the one that is asked for, or the best of the
// others.
func (o *order) move() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	r := o.Groups[g.Name]
	node := o.Change.Node
	if node == "" {
		if node, err = o.elsewhere(g, r.Owner); err != nil {
			return Done{}, err
		}
	} else if err := o.reachable(g, node); err != nil {
		return Done{}, err
	}
	w := state.Wish{Kind: state.Move, Group: g.Name, Node: node}
	if former, ok := o.same(w); ok && former.Node == node && !former.Over(o.now) || !ok && r.Owner == node && r.Phase == state.Running {
		return Done{What: fmt.Sprintf("group %s is on %s already, or on its way there", g.Name, node), Already: true, Node: node}, nil
	}
	w.Until = o.now.Add(moveFor)
	if d, _ := o.wishing(w).plan.Of(g.Name); d.Node != node && !o.Force {
		return Done{}, fault(CodeRefused, "--force asks for it all the same", "group %s would not move to %s: %s", g.Name, node, sentence(d.Reason))
	}
	return o.put(w, moveFor, fmt.Sprintf("group %s is to move to %s", g.Name, node))
}

// reachable says whether a group can go to a node.
func (o *order) reachable(g resources.Group, node string) error {
	if _, err := o.runner(node); err != nil {
		return err
	}
	all := placement.Explain(o.place, g.Name)
	i := slices.IndexFunc(all, func(v placement.Verdict) bool { return v.Node == node })
	switch {
	case i < 0:
		return fault(CodeRefused, "nodes of the group in the configuration lists which ones may", "group %s may not run on %s", g.Name, node)
	case all[i].Why != "" && !o.Force:
		return fault(CodeRefused, "--force asks for it all the same", "group %s cannot run on %s: %s", g.Name, node, sentence(all[i].Why))
	}
	return nil
}

// elsewhere is the best of a group's nodes but one.
func (o *order) elsewhere(g resources.Group, owner string) (string, error) {
	all := slices.DeleteFunc(placement.Explain(o.place, g.Name), func(v placement.Verdict) bool { return v.Node == owner })
	fit := slices.DeleteFunc(slices.Clone(all), func(v placement.Verdict) bool { return v.Why != "" })
	if len(fit) > 0 {
		best := slices.MinFunc(fit, func(a, b placement.Verdict) int {
			return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Load, b.Load))
		})
		return best.Node, nil
	}
	var why []string
	for _, v := range all {
		why = append(why, v.Node+": "+sentence(v.Why))
	}
	if len(why) == 0 {
		why = []string{"it may run on no other"}
	}
	return "", fault(CodeRefused, "mailhactl explain "+g.Name, "no other node can run group %s: %s", g.Name, strings.Join(why, "; "))
}

func (o *order) unmove() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	return o.end(func(w state.Wish) bool { return w.Kind == state.Move && w.Group == g.Name },
		"group "+g.Name+" need not move any more", "nobody asked group "+g.Name+" to move")
}

func (o *order) ban() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	node := o.r.PathValue("node")
	if _, err := o.runner(node); err != nil {
		return Done{}, err
	}
	w := state.Wish{Kind: state.Ban, Group: g.Name, Node: node}
	if err := o.harmless(w); err != nil {
		return Done{}, err
	}
	return o.put(w, 0, fmt.Sprintf("group %s is banned from %s", g.Name, node))
}

// unban takes back a group's ban from one node, or from all.
func (o *order) unban() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	node, of := o.r.PathValue("node"), "any node"
	if node != "" {
		of = node
	}
	return o.end(func(w state.Wish) bool {
		return w.Kind == state.Ban && w.Group == g.Name && (node == "" || w.Node == node)
	}, fmt.Sprintf("group %s is no longer banned from %s", g.Name, of), fmt.Sprintf("group %s is not banned from %s", g.Name, of))
}

func (o *order) stopGroup() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	return o.put(state.Wish{Kind: state.StopGroup, Group: g.Name}, 0, "group "+g.Name+" is to be stopped")
}

func (o *order) startGroup() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	forgiven, err := o.forgive(g, "")
	if err != nil {
		return Done{}, err
	}
	done, err := o.end(func(w state.Wish) bool { return w.Kind == state.StopGroup && w.Group == g.Name },
		"group "+g.Name+" is to run", "nobody asked group "+g.Name+" to be stopped")
	return forgiven.and(done), err
}

// release gives up a group that its owner cannot.
func (o *order) release() (Done, error) {
	g, err := o.group(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	r := o.Groups[g.Name]
	if r.Owner == "" {
		return Done{What: "group " + g.Name + " is nobody's", Already: true}, nil
	}
	_, present := o.Nodes[r.Owner]
	stuck := present && r.Phase == state.Failed
	r, err = o.s.Store.Release(o.ctx, r, o.by)
	if err != nil {
		return Done{}, err
	}
	o.await(func(v *view) bool { return v.Revision >= r.Rev })
	done := Done{What: fmt.Sprintf("group %s is taken away from %s, and starts where it can", g.Name, r.Former), Revision: r.Rev}
	if _, err := o.elsewhere(g, r.Former); !stuck || err != nil {
		return done, nil
	}
	// What could not be stopped there is in its way for as long as it is there, and the node
	// would still be the first that all others leave the group to.
	ban, err := o.put(state.Wish{Kind: state.Ban, Group: g.Name, Node: r.Former}, 0, "")
	if err != nil {
		return Done{}, fmt.Errorf("%s, but not banned from there: %w", done.What, err)
	}
	done.What = fmt.Sprintf("group %s is taken away from %s and banned from there; when that is mended: mailhactl group unban %[1]s %[2]s", g.Name, r.Former)
	done.Revision, done.Effects = ban.Revision, ban.Effects
	return done, nil
}

// harmless refuses what would leave a group without a node.
func (o *order) harmless(w state.Wish) error {
	if o.Force {
		return nil
	}
	w.Since = o.now
	for _, d := range o.effects(w) {
		if d.To == "" {
			return fault(CodeRefused, "--force does it all the same", "group %s would run nowhere: %s", d.Group, d.Reason)
		}
	}
	return nil
}

// forgive forgets what failed in a group: all of it, or one resource.
func (o *order) forgive(g resources.Group, resource string) (Done, error) {
	r := o.Groups[g.Name]
	if !slices.ContainsFunc(r.Failures, func(f state.Failure) bool { return resource == "" || f.Resource == resource }) {
		return Done{Already: true}, nil
	}
	r, err := o.s.Store.Forgive(o.ctx, r, resource, o.by)
	if err != nil {
		return Done{}, err
	}
	o.await(func(v *view) bool { return v.Revision >= r.Rev })
	what := "the failures of group " + g.Name + " are forgotten"
	if resource != "" {
		what = "the failures of " + resource + " are forgotten"
	}
	return Done{What: what, Revision: r.Rev}, nil
}

// and is one change with another one after it.
func (d Done) and(next Done) Done {
	switch {
	case d.Already:
		return next
	case next.Already:
		return d
	}
	next.What += ", and " + d.What
	next.Revision = max(d.Revision, next.Revision)
	return next
}

func (o *order) forget() (Done, error) {
	done := Done{Already: true}
	if r, ok := o.cluster.Resource(o.Name); ok {
		g, _ := o.cluster.Group(r.Group)
		one, err := o.forgive(g, r.Name)
		if err != nil {
			return Done{}, err
		}
		done = one
	} else {
		groups := o.cluster.Groups
		if o.Name != "" {
			g, err := o.group(o.Name)
			if err != nil {
				return Done{}, fault(CodeNotFound, "mailhactl status lists them", "there is neither a group nor a resource %q", o.Name)
			}
			groups = []resources.Group{g}
		}
		for _, g := range groups {
			one, err := o.forgive(g, "")
			if err != nil {
				return Done{}, err
			}
			done = one.and(done)
		}
	}
	if done.Already {
		done.What = "nothing has failed that is remembered"
	}
	return done, nil
}

// maintain has the cluster leave everything alone for a while.
func (o *order) maintain() (Done, error) {
	if o.For == 0 {
		return Done{}, fault(CodeBadRequest, "mailhactl maintenance on --for 2h", "maintenance has an end, and none was given")
	}
	return o.put(state.Wish{Kind: state.Maintenance}, 0,
		"maintenance for "+span(time.Duration(o.For*float64(time.Second)))+": the cluster starts, stops, moves and repairs nothing")
}

func (o *order) resume() (Done, error) {
	return o.end(func(w state.Wish) bool { return w.Kind == state.Maintenance }, "the cluster acts again", "there is no maintenance")
}
