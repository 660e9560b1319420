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
		}
	}
}

// fulfil is true for the one node that has taken the wish back.
func (e *Engine) fulfil(u *turn, w state.Wish, why string) bool {
	return e.Store.EndWish(u.ctx, w, self, why) == nil
}

func (e *Engine) restart(u *turn, w state.Wish) {
	for name, o := range e.owned {
		g, _ := e.Cluster().Group(name)
		if _, is := g.Resource(w.Resource); !is || o.reason != "" || !e.fulfil(u, w, "it is being done") {
			continue
		}
		o.forgiven = append(o.forgiven, w.Resource)
		o.why = w.Resource + " is restarted: " + w.By + " asked for it"
		o.tenure.order(order{restart: w.Resource})
		if s := e.standby[name]; s != nil {
			s.tenure.order(order{restart: w.Resource})
		}
	}
}
