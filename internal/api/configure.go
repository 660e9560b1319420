// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"unicode"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

func (s *Server) config(_ *http.Request, v *view) (any, error) {
	if v.Config.Rev == 0 {
		return nil, fault(CodeNotFound, "mailhactl config apply /etc/mailha/mailha.toml", "the cluster has no configuration yet")
	}
	return ConfigText{ConfigRef{v.Config.Rev, v.Config.By, v.Config.Since}, v.Config.TOML}, nil
}

// proposal reads a request about another configuration.
func proposal(w http.ResponseWriter, r *http.Request) (ConfigChange, error) {
	var c ConfigChange
	if err := body(w, r, maxConfigBody, &c); err != nil {
		return c, err
	}
	if c.File == "" {
		c.File = "mailha.toml"
	}
	for _, char := range c.File {
		if !unicode.IsPrint(char) {
			return c, fault(CodeBadRequest, "", "the file's name has a character that cannot be printed")
		}
	}
	return c, nil
}

// review says what another configuration would do.
func (s *Server) review(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := proposal(w, r)
	if err != nil {
		return nil, err
	}
	v, _ := s.look()
	review, _ := s.reviewed(v, c)
	return review, nil
}

// reviewed also returns the configuration, if it can be used.
func (s *Server) reviewed(v *view, c ConfigChange) (Review, *resources.Cluster) {
	out := Review{Problems: []Place{}, Warnings: []Place{}, Changes: []ConfigEffect{}, Moves: []Difference{}, Revision: v.Config.Rev}
	next, err := resources.Parse(c.File, []byte(c.TOML), s.Kinds)
	if err != nil {
		var all resources.Problems
		if !errors.As(err, &all) {
			all = resources.Problems{{File: c.File, Line: 1, Column: 1, What: err.Error()}}
		}
		out.Problems = placesOf(all)
		return out, nil
	}
	out.Warnings = placesOf(next.Warnings)
	// What runs is what the cluster agreed on, which this node may not run yet.
	before := v.cluster
	if v.Config.Rev != 0 {
		if agreed, err := resources.Parse("mailha.toml", []byte(v.Config.TOML), s.Kinds); err == nil {
			before = agreed
		}
	}
	if v.Config.Rev == 0 && !v.known {
		// The first one: all of it is new.
		before = &resources.Cluster{Name: next.Name, Etcd: next.Etcd, Heartbeat: next.Heartbeat}
	}
	for _, change := range resources.Diff(before, next, s.Kinds) {
		change = v.lingering(before, next, change)
		out.Changes = append(out.Changes, ConfigEffect{
			Effect: string(change.Effect), Node: change.Node, Group: change.Group, Resource: change.Resource, What: sentence(change.Text),
		})
	}
	other := look(v.Snapshot, next, v.node, v.now, v.at, v.survey)
	for _, d := range differencesOf(placement.WhatIf(v.place, func(s *placement.State) { *s = other.place })) {
		if _, old := before.Group(d.Group); old { // new ones are among the changes
			out.Moves = append(out.Moves, d)
		}
	}
	return out, next
}

// lingering refuses a new resource, or a new group with one, that is not stopped yet
// everywhere as what it was in an earlier file.
func (v *view) lingering(before, next *resources.Cluster, c resources.Change) resources.Change {
	if c.Effect != resources.EffectStart {
		return c
	}
	fresh := []string{c.Resource}
	if c.Resource == "" {
		g, _ := next.Group(c.Group)
		fresh = nil
		for _, r := range g.Resources {
			fresh = append(fresh, r.Name)
		}
	}
	for _, resource := range fresh {
		if _, known := before.Resource(resource); known {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(v.Reports)) {
			if r, told := v.Reports[name].Resource(resource); told && r.Phase != state.ResourceStopped {
				c.Effect = resources.EffectRefuse
				c.Text = fmt.Sprintf("resource %q is still %s on node %q from before: apply the file again when it is stopped", resource, r.Phase, name)
			}
		}
	}
	return c
}

// otherVersion says who runs another version than this node; empty: nobody.
func (v *view) otherVersion(own string) string {
	for _, name := range slices.Sorted(maps.Keys(v.Nodes)) {
		if version := v.Nodes[name].Version; version != own {
			return fmt.Sprintf("%s runs mailha %s, and %s %s", name, version, v.node, own)
		}
	}
	return ""
}

func placesOf(all resources.Problems) []Place {
	out := []Place{}
	for _, p := range all {
		out = append(out, Place{p.File, p.Line, p.Column, sentence(p.What), sentence(p.Hint)})
	}
	return out
}

// apply makes another configuration the one that the cluster runs. A bad one
// changes nothing.
func (s *Server) apply(w http.ResponseWriter, r *http.Request) (any, error) {
	by, err := s.permit(r)
	if err != nil {
		return nil, err
	}
	c, err := proposal(w, r)
	if err != nil {
		return nil, err
	}
	o := &order{s: s, ctx: r.Context(), r: r, by: by}
	o.view, o.newer = s.look()
	if err := o.fresh(); err != nil {
		return nil, err
	}
	review, _ := s.reviewed(o.view, c)
	switch {
	case len(review.Problems) > 0:
		p := review.Problems[0]
		return nil, fault(CodeInvalid, "mailhactl config check says all that is wrong", "%s:%d: %s", p.File, p.Line, p.What)
	case c.Revision != o.Config.Rev:
		return nil, fault(CodeConflict, "look at what has changed, and apply it again: mailhactl config diff",
			"the configuration was changed by %s since it was looked at", o.Config.By)
	}
	for _, change := range review.Changes {
		if change.Effect == string(resources.EffectRefuse) {
			return nil, fault(CodeRefused, "", "%s", change.What)
		}
	}
	for _, m := range review.Moves {
		if m.To == "" && m.From != "" && !c.Force {
			return nil, fault(CodeRefused, "--force applies it all the same", "group %s would run nowhere: %s", m.Group, m.Reason)
		}
	}
	if c.TOML == o.Config.TOML {
		return Done{What: "the cluster runs this configuration already", Already: true, Revision: o.Config.Rev}, nil
	}
	if other := o.otherVersion(s.Version); other != "" && !c.Force {
		return nil, fault(CodeRefused, "have all nodes run the same version first; --force applies it all the same",
			"%s, and one that cannot read all of it keeps the former configuration: what is new would not start there", other)
	}
	put, err := s.Store.PutConfig(r.Context(), state.Config{TOML: c.TOML, By: by, Rev: c.Revision})
	if err != nil {
		return nil, err
	}
	o.await(func(v *view) bool { return v.Revision >= put.Rev })
	s.Log.Info("an operator changed the configuration", "by", by, "file", c.File, "changes", len(review.Changes))
	return Done{What: "the cluster runs the new configuration", Revision: put.Rev, Effects: review.Moves}, nil
}
