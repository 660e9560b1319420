// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"slices"

	"github.com/mailha/mailha/internal/state"
)

// self is who ends what operators asked for, when it is done or over.
const self = "mailhad"

// care finds out whether the cluster is in maintenance: then nothing is begun.
func (e *Engine) care(u *turn) {
	i := slices.IndexFunc(u.state.Wishes, func(w state.Wish) bool { return w.Kind == state.Maintenance && !w.Over(u.now) })
	if caring := i >= 0; caring != e.caring {
		e.caring = caring
		if caring {
			e.Log.Warn("maintenance begins: what fails is left as it is", "by", u.state.Wishes[i].By, "why", u.state.Wishes[i].Why)
		} else {
			e.Log.Warn("maintenance has ended: what has failed meanwhile is dealt with from now on")
		}
	}
}

// obey does what was asked for once, and takes back what is done or over. Whatever
// fails is tried again the next time.
func (e *Engine) obey(u *turn) {
	for _, w := range u.state.Wishes {
		if u.ctx.Err() != nil {
			return
		}
		switch {
		case w.Over(u.now) && w.Kind == state.Maintenance:
			e.fulfil(u, w, "its time is over, and what has failed meanwhile is dealt with from now on")
		case w.Over(u.now):
			e.fulfil(u, w, "its time is over")
		case w.Kind == state.Restart && !e.caring && !u.leaving:
			e.restart(u, w)
		case w.Kind == state.Move:
			if g := u.state.Groups[w.Group]; u.session.Owns(g) && g.Phase == state.Running && w.Node == e.Node.Name {
				e.fulfil(u, w, "it is there")
			}
		case w.Kind == state.Fenced && w.Node == e.Node.Name:
			e.fulfil(u, w, "it is back")
		case w.Kind == state.Hear && w.Node == e.Node.Name && !e.leftUnadopted():
			e.fulfil(u, w, "what it still had is written down")
		}
	}
}

// leftUnadopted says whether something that a former daemon left here is not stopped
// and not written down either.
func (e *Engine) leftUnadopted() bool {
	for _, o := range e.owned {
		if o.left {
			return true
		}
	}
	return false
}

// fulfil takes a wish back. Another node may be quicker.
func (e *Engine) fulfil(u *turn, w state.Wish, why string) {
	if err := e.Store.EndWish(u.ctx, w, self, why); err != nil {
		e.Log.Debug("a wish is not taken back", "wish", w, "error", err)
	}
}

// restart has the owner do it, and takes the wish back when it is done.
func (e *Engine) restart(u *turn, w state.Wish) {
	for name, o := range e.owned {
		g, _ := e.Cluster().Group(name)
		if _, is := g.Resource(w.Resource); !is || o.reason != "" {
			continue
		}
		at := o.tenure
		s := e.standby[name]
		if s != nil && s.tenure.holds(w.Resource, whole) {
			at = s.tenure // it runs everywhere by that
		}
		if o.restarts[w.Resource] == w.Rev {
			if v, ok := at.view(w.Resource); ok && v.restarted == w.Rev {
				e.fulfil(u, w, "it is done")
			}
			continue
		}
		if o.restarts == nil {
			o.restarts = map[string]int64{}
		}
		o.restarts[w.Resource] = w.Rev
		o.forgiven = append(o.forgiven, w.Resource)
		o.why = w.Resource + " is restarted: " + w.By + " asked for it"
		again := order{restart: &restart{w.Resource, w.Rev}}
		o.tenure.order(again)
		if s != nil {
			s.tenure.order(again)
		}
	}
}
