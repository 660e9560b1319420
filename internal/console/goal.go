// SPDX-License-Identifier: Apache-2.0

package console

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mailha/mailha/internal/api"
)

// goal is what a command waits for.
type goal interface {
	// reached says whether it is so, or an error that it will not be. The text is
	// how far it is, or what has come of it.
	reached(s api.Status) (done bool, text string, err error)
	// about are the resources whose work is under way for it.
	about(s api.Status) []api.Resource
}

func groupOf(s api.Status, name string) (api.Group, error) {
	i := slices.IndexFunc(s.Groups, func(g api.Group) bool { return g.Name == name })
	if i < 0 {
		return api.Group{}, fmt.Errorf("there is no group %s any more", name)
	}
	return s.Groups[i], nil
}

func resourceOf(s api.Status, name string) (api.Resource, api.Group, error) {
	for _, g := range s.Groups {
		for _, r := range g.Resources {
			if r.Name == name {
				return r, g, nil
			}
		}
	}
	return api.Resource{}, api.Group{}, fmt.Errorf("there is no resource %s any more", name)
}

// wished says whether a wish is still there.
func wished(s api.Status, kind, group, node string) bool {
	return slices.ContainsFunc(s.Wishes, func(w api.Wish) bool { return w.Kind == kind && w.Group == group && w.Node == node })
}

// groupGoal is a group that is to be on a node, or on any, or on none.
type groupGoal struct {
	group string
	node  string // empty: any
	stop  bool   // none
	kind  string // of the wish that asks for it; empty: none does
}

func (g groupGoal) reached(s api.Status) (bool, string, error) {
	now, err := groupOf(s, g.group)
	if err != nil {
		return false, "", err
	}
	there := now.Node != "" && (g.node == "" || now.Node == g.node)
	switch {
	case now.Phase == "failed":
		return false, "", fmt.Errorf("group %s could not be stopped on %s: %s", g.group, now.Node, cmp.Or(now.Why, "no reason is known"))
	case g.stop && now.Node == "":
		return true, "group " + g.group + " is stopped", nil
	case !g.stop && there && now.Phase == "running":
		return true, fmt.Sprintf("group %s runs on %s", g.group, now.Node), nil
	}
	if g.kind != "" && !wished(s, g.kind, g.group, g.node) && !there && g.elsewhere(now) {
		return false, "", fmt.Errorf("group %s did not get to %s: %s", g.group, g.node, reason(now))
	}
	return false, g.under(now), nil
}

// elsewhere says whether the group is at rest somewhere else.
func (g groupGoal) elsewhere(now api.Group) bool {
	return now.Phase == "running" || now.Phase == "free" && (now.Plan == nil || now.Plan.Node != g.node)
}

func reason(g api.Group) string {
	if g.Plan == nil {
		return cmp.Or(g.Why, "no reason is known")
	}
	return g.Plan.Reason
}

func (g groupGoal) under(now api.Group) string {
	if now.Plan != nil && now.Plan.Action == "wait" && (now.Phase == "free" || now.Phase == "running") {
		return fmt.Sprintf("group %s waits: %s", g.group, now.Plan.Reason)
	}
	switch now.Phase {
	case "free":
		return "group " + g.group + " runs nowhere yet"
	case "running":
		return fmt.Sprintf("group %s still runs on %s", g.group, now.Node)
	}
	return fmt.Sprintf("group %s is %s on %s", g.group, now.Phase, now.Node)
}

func (g groupGoal) about(s api.Status) []api.Resource {
	now, err := groupOf(s, g.group)
	if err != nil {
		return nil
	}
	return busy(now.Resources)
}

// busy are the resources on which something is being done.
func busy(all []api.Resource) []api.Resource {
	return slices.DeleteFunc(slices.Clone(all), func(r api.Resource) bool {
		return r.Phase != "starting" && r.Phase != "draining" && r.Phase != "stopping"
	})
}

// resourceGoal is a resource that is to be up or down.
type resourceGoal struct {
	resource string
	down     bool
	again    bool // started anew: its owner takes the wish back before it begins
	// before is how it was when it was asked for: what had failed then does not
	// count.
	before api.Resource
}

func (g resourceGoal) reached(s api.Status) (bool, string, error) {
	now, group, err := resourceOf(s, g.resource)
	if err != nil {
		return false, "", err
	}
	where := cmp.Or(now.Node, group.Node)
	up := now.Phase == "started" || now.Phase == "degraded"
	fresh := now.Phase != g.before.Phase || !now.Since.Equal(g.before.Since)
	switch {
	case now.Wished == api.WishedRestart: // not taken up yet, or under way
	case g.down && now.Phase == "stopped":
		return true, g.resource + " is stopped", nil
	case !g.down && group.Node == "" && group.Plan != nil && group.Plan.Node == "":
		return false, "", fmt.Errorf("group %s runs nowhere: %s", group.Name, reason(group))
	case !g.down && up && now.Wished == "" && (fresh || !g.again):
		text := fmt.Sprintf("%s runs on %s", g.resource, where)
		if now.Phase == "degraded" {
			text += ", but is not well: " + now.Detail
		}
		return true, text, nil
	case now.Phase == "failed" && fresh:
		return false, "", errors.New(g.resource + " failed on " + where + ": " + cmp.Or(now.Detail, "no reason is known"))
	}
	still := ""
	if !fresh {
		still = "still "
	}
	return false, fmt.Sprintf("%s is %s%s on %s", g.resource, still, now.Phase, cmp.Or(where, "no node")), nil
}

func (g resourceGoal) about(s api.Status) []api.Resource {
	now, _, err := resourceOf(s, g.resource)
	if err != nil {
		return nil
	}
	return busy([]api.Resource{now})
}

// emptyGoal is a node that is to run nothing.
type emptyGoal struct{ node string }

func (g emptyGoal) reached(s api.Status) (bool, string, error) {
	i := slices.IndexFunc(s.Nodes, func(n api.Node) bool { return n.Name == g.node })
	if i < 0 {
		return false, "", fmt.Errorf("there is no node %s any more", g.node)
	}
	left := s.Nodes[i].Groups
	if len(left) == 0 {
		return true, g.node + " runs nothing", nil
	}
	for _, name := range left {
		if now, err := groupOf(s, name); err == nil && now.Phase == "failed" {
			return false, "", fmt.Errorf("group %s could not be stopped on %s: %s", name, g.node, cmp.Or(now.Why, "no reason is known"))
		}
	}
	return false, fmt.Sprintf("%s still has %s", g.node, list(left)), nil
}

func (g emptyGoal) about(s api.Status) []api.Resource {
	var all []api.Resource
	for _, one := range s.Groups {
		if one.Node == g.node {
			all = append(all, busy(one.Resources)...)
		}
	}
	return all
}
