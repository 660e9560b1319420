// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// startStandby begins what runs on every node that may own it.
func (e *Engine) startStandby(ctx context.Context) {
	for _, g := range e.Cluster().Groups {
		e.startStandbyOf(ctx, g)
	}
}

func (e *Engine) startStandbyOf(ctx context.Context, g resources.Group) {
	if !slices.ContainsFunc(g.Nodes, func(p resources.Preference) bool { return p.Node == e.Node.Name }) {
		return
	}
	members, err := e.members(g, false)
	if err != nil || len(members) == 0 {
		return
	}
	t := newTenure(g, 0, members, e.Log.With("standby", true), e.hear, e.watch)
	e.standby[g.Name] = t
	go t.run(ctx)
}

// standbyOver says whether all of it has ended.
func (e *Engine) standbyOver() bool {
	for _, t := range e.standby {
		select {
		case <-t.done:
		default:
			return false
		}
	}
	return true
}

// adopt takes over another configuration: what is new starts by the next plan, what
// has changed is ended and planned anew.
func (e *Engine) adopt(ctx context.Context, c *resources.Cluster) {
	e.cluster.Store(c)
	for name, o := range e.owned {
		now, ok := c.Group(name)
		if o.tenure == nil || ok && same(o.tenure.group, now) || o.asked {
			continue
		}
		if session := e.Session(); session != nil {
			e.end(ctx, session, o, "its configuration has changed")
		}
	}
	for name, t := range e.standby {
		if now, ok := c.Group(name); ok && same(t.group, now) {
			continue
		}
		t.order(order{end: true})
		<-t.done
		delete(e.standby, name)
	}
	for _, g := range c.Groups {
		if e.standby[g.Name] == nil {
			e.startStandbyOf(ctx, g)
		}
	}
}

func same(a, b resources.Group) bool { return reflect.DeepEqual(a.Resources, b.Resources) }

// configure follows the configuration that the cluster runs.
func (e *Engine) configure(ctx context.Context, c state.Config) {
	switch {
	case e.Parse == nil || c.Rev == e.adopted && c.Rev != 0:
		return
	case c.Rev == 0:
		e.propose(ctx)
		return
	}
	e.adopted = c.Rev // once: a bad one is told once, and the one before is kept
	parsed, err := e.Parse(c.TOML)
	if err != nil {
		e.Log.Error("the cluster's configuration cannot be used by this node; it keeps the one that it has", "error", err)
		return
	}
	if !reflect.DeepEqual(parsed, e.Cluster()) {
		e.Log.Info("the cluster's configuration is adopted", "by", c.By, "revision", c.Rev)
		e.adopt(ctx, parsed)
	}
}

// propose puts this node's own file where there is none yet. Another node may be
// quicker.
func (e *Engine) propose(ctx context.Context) {
	text, err := e.File()
	if err == nil {
		const patience = 2 * time.Second
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, err = e.Store.PutConfig(ctx, state.Config{TOML: text, By: "mailhad on " + e.Node.Name, Since: time.Now()})
	}
	if err != nil && !errors.Is(err, state.ErrConflict) {
		e.Log.Warn("the cluster has no configuration yet", "error", err)
	}
}
