// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources/placement"
)

// turn is one time that the loop goes round. All that it asks of etcd has to be done
// within ctx: what is left then has to wait for the next turn.
type turn struct {
	*term
	ctx   context.Context
	state state.Snapshot // with what this node has written since
	now   time.Time
	// promised is until when nodes are to be left what they have.
	promised map[string]clock.Time
}

// turn takes news in, makes a plan and does this node's part of it. It says when to
// come again at the latest.
func (e *Engine) turn(t *term) <-chan time.Time {
	for _, n := range e.news.take() {
		e.digest(n)
	}
	if !t.session.Valid() {
		return nil
	}
	const least, most = 200 * time.Millisecond, 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.ctx, min(max(e.Cluster().Lease/10, least), most))
	defer cancel()
	u := &turn{term: t, ctx: ctx, now: time.Now()}
	if t.leaving {
		e.endAll()
	}
	e.tell(u)
	var next time.Time
	if t.fresh {
		promised, decided := e.decide()
		u.promised = promised
		next = e.follow(u)
		decided()
	}
	const soon = 100 * time.Millisecond
	if ctx.Err() != nil {
		return time.After(soon)
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// follow does this node's part of the plan that the cluster's state asks for.
func (e *Engine) follow(u *turn) (next time.Time) {
	e.configure(u)
	u.state = e.overlay(u.snapshot)
	u.state.Promised = u.promised
	e.adopt(u)
	e.reclaim(u)
	c := e.Cluster()
	plan := placement.Make(survey.State(u.state, c, u.now, e.Store.Time().Now()))
	e.care(u)
	e.align(u)
	for _, d := range plan.Decisions {
		if err := e.carryOut(u, d); err != nil && u.ctx.Err() == nil {
			e.Log.Warn("a decision could not be carried out", "group", d.Group, "action", d.Action, "error", err)
		}
	}
	e.obey(u)
	return plan.Again
}

// overlay puts in what this node has written, or is about to, and the watch has not
// told yet.
func (e *Engine) overlay(s state.Snapshot) state.Snapshot {
	groups := make(map[string]state.Group, len(s.Groups))
	for name, g := range s.Groups {
		groups[name] = g
	}
	for name, g := range e.records {
		if g.Rev > groups[name].Rev {
			groups[name] = g
		}
	}
	for name, o := range e.owned {
		g := groups[name]
		if o.record.Rev < g.Rev {
			o.record = g // somebody forgave its failures, or released it
		}
		g.Failures = append(slices.Clip(g.Failures), o.pending...)
		groups[name] = g
	}
	s.Groups = groups
	return s
}

// reclaim gives up what this node owned in a former life, of which nothing was here
// when the loop began.
func (e *Engine) reclaim(u *turn) {
	for name, g := range u.state.Groups {
		if g.Owner != e.Node.Name || e.owned[name] != nil {
			continue
		}
		if _, known := e.Cluster().Group(name); known && u.session.Owns(g) && !u.leaving {
			continue // the answer to an earlier write was lost: it is begun
		}
		if e.strewn(name) {
			continue // a sweep still has some of it, under the name that it had for a former daemon
		}
		free, err := u.session.Free(u.ctx, g, "nothing of it was left on "+e.Node.Name+" when it came back")
		if err != nil {
			if !errors.Is(err, state.ErrConflict) {
				e.Log.Warn("could not be given up", "group", name, "error", err)
			}
			continue
		}
		e.records[name], u.state.Groups[name] = free, free
	}
}

func (e *Engine) carryOut(u *turn, d placement.Decision) error {
	record, o := u.state.Groups[d.Group], e.owned[d.Group]
	record.Name = d.Group
	switch {
	case o == nil && u.session.Owns(record) && !u.leaving:
		// It was handed over, or the answer to an earlier write was lost.
		e.Log.Info("taken", "group", d.Group, "epoch", record.Epoch, "from", record.Former, "reason", record.Why)
		return e.begin(u, record, d)
	case o == nil && (d.Action == placement.Start || d.Action == placement.Take) && d.Node == e.Node.Name && !u.leaving && !e.Witness:
		return e.take(u, record, d)
	case o == nil:
		return nil
	case !u.session.Owns(record): // an operator's word, or another node's
		o.end("it is not this node's any more")
	case d.Action == placement.Move || d.Action == placement.Stop:
		if o.reason == "" {
			e.Log.Info("stopping", "group", d.Group, "reason", d.Reason)
			// Before anything stops: clients would wait for this write as well.
			o.why = d.Reason
			e.put(u, o, standing{phase: state.Stopping})
		}
		o.end(d.Reason)
	case d.Action == placement.Keep:
		if o.reason == "" {
			o.sent = o.tenure.keep(o.sent, order{left: e.left(d, record, o), stopped: stoppedBy(u), hold: &e.caring, seen: o.seen})
		}
	}
	return nil
}

// left are the resources that are not to run: those of the plan, and those that have
// failed and are to stay stopped.
func (e *Engine) left(d placement.Decision, record state.Group, o *owned) map[string]bool {
	left := map[string]bool{}
	for _, name := range d.Abandon {
		left[name] = true
	}
	for _, f := range record.Failures {
		if r, ok := e.Cluster().Resource(f.Resource); ok && f.Node == e.Node.Name && !f.At.Before(o.since) && stays(r, f) {
			left[f.Resource] = true
		}
	}
	return left
}
