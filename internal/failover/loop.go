// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// serve does this node's part under one lease. It returns when the lease is lost, with
// the reason, or when ctx has ended and everything was given up or could not be; either
// way with nothing under way.
func (e *Engine) serve(ctx context.Context, session *state.Session, snapshots <-chan state.Snapshot) error {
	c := e.Cluster()
	tenures, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		e.guard(tenures, session)
	}()
	defer func() { cancel(); <-guarded }()

	beat := time.NewTicker(max(c.Lease/6, 100*time.Millisecond))
	defer beat.Stop()
	var again <-chan time.Time
	var snapshot state.Snapshot
	fresh := false // a snapshot that was taken under this lease
	ending := ctx.Done()
	leaving := false
	e.startStandby(tenures)
	for {
		e.alive()
		if fresh && session.Valid() {
			again = e.round(tenures, session, snapshot, leaving)
		}
		if leaving && e.nothingOwned() && e.standbyOver() {
			const patience = 2 * time.Second
			ctx, cancel := context.WithTimeout(tenures, patience)
			defer cancel()
			return session.Leave(ctx)
		}
		select {
		case <-session.Lost():
			return errors.Join(session.Err(), e.lose(tenures))
		case <-ending:
			ending, leaving = nil, true
			e.Log.Info("leaving the cluster: stopping what runs here")
			for _, t := range e.standby {
				t.order(order{end: true})
			}
		case s, ok := <-snapshots:
			if !ok {
				return errors.New("the watch over the cluster has ended")
			}
			e.see(s)
			if s.Stale == nil && knows(s, session) {
				snapshot, fresh = s, true
				e.configure(tenures, s.Config)
			}
		case n := <-e.news:
			e.digest(n)
		case <-again:
		case <-beat.C:
			e.report(tenures, session)
		}
	}
}

// knows says whether a snapshot is as new as the session.
func knows(s state.Snapshot, session *state.Session) bool {
	return s.Nodes[session.Node().Name].Session == session.Node().Session
}

// guard lets addresses go the moment that the lease is over, whatever the loop is at.
func (e *Engine) guard(ctx context.Context, session *state.Session) {
	select {
	case <-ctx.Done():
		return
	case <-session.Lost():
	}
	const most = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	dropped, err := e.Drop(ctx)
	if err != nil {
		e.Log.Error("addresses could not be let go", "error", err)
	}
	for _, h := range dropped {
		e.Log.Warn("address let go: the lease is lost", "address", h.Addr, "interface", h.Interface)
	}
}

// lose stops everything in a hurry, and returns when it is proved or cannot be.
func (e *Engine) lose(ctx context.Context) error {
	hurry := max(2*e.Cluster().Margin, time.Second)
	var all []*tenure
	for _, o := range e.owned {
		all = append(all, o.tenure)
	}
	for _, t := range e.standby {
		all = append(all, t)
	}
	for _, t := range all {
		if t != nil {
			t.order(order{end: true, hurry: hurry})
		}
	}
	const most = time.Minute
	timeout := time.After(most)
	for _, t := range all {
		for t != nil {
			done := false
			select {
			case <-t.done:
				done = true
			case <-e.news:
			case <-timeout:
				return fmt.Errorf("%s did not stop within %s", t.group.Name, most)
			}
			if done {
				break
			}
		}
	}
	for len(e.news) > 0 {
		<-e.news
	}
	return ctx.Err()
}

// round makes a plan and does this node's part of it.
func (e *Engine) round(ctx context.Context, session *state.Session, s state.Snapshot, leaving bool) <-chan time.Time {
	now := time.Now()
	s = e.overlay(s)
	if leaving { // nobody else sees it yet
		s.Wishes = append(slices.Clip(s.Wishes), state.Wish{Kind: state.Standby, Node: e.Node.Name, By: "mailhad", Why: "it was told to end", Since: now})
	}
	c := e.Cluster()
	plan := placement.Make(survey.State(s, c, now, e.Store.Time().Now()))
	for _, d := range plan.Decisions {
		if err := e.carryOut(ctx, session, s, d, leaving); err != nil {
			e.Log.Warn("a decision could not be carried out", "group", d.Group, "action", d.Action, "error", err)
		}
	}
	e.tidyUp(ctx, session, s)
	e.obey(ctx, session, s)
	if plan.Again.IsZero() {
		return nil
	}
	return time.After(time.Until(plan.Again))
}

// overlay puts in what this node has written and the watch has not told yet.
func (e *Engine) overlay(s state.Snapshot) state.Snapshot {
	groups := make(map[string]state.Group, len(s.Groups))
	for name, g := range s.Groups {
		groups[name] = g
	}
	for name, o := range e.owned {
		if o.record.Rev > groups[name].Rev {
			groups[name] = o.record
		}
	}
	s.Groups = groups
	return s
}

func (e *Engine) carryOut(ctx context.Context, session *state.Session, s state.Snapshot, d placement.Decision, leaving bool) error {
	self := e.Node.Name
	record := s.Groups[d.Group]
	record.Name = d.Group
	o := e.owned[d.Group]
	if o != nil && !o.ended && o.record.Rev < record.Rev {
		o.record = record // somebody forgave its failures
	}
	switch {
	case (d.Action == placement.Start || d.Action == placement.Take) && d.Node == self && o == nil && !leaving:
		return e.take(ctx, session, record, d)
	case o == nil || o.tenure == nil:
		return nil
	case d.Action == placement.Move || d.Action == placement.Stop:
		e.end(ctx, session, o, d.Reason)
	case d.Action == placement.Keep && !o.asked:
		left := map[string]bool{}
		for _, name := range d.Abandon {
			left[name] = true
		}
		o.tenure.order(order{left: left, stopped: stoppedBy(s, o.tenure.group)})
	}
	return nil
}

func stoppedBy(s state.Snapshot, g resources.Group) map[string]bool {
	stopped := map[string]bool{}
	for _, w := range s.Wishes {
		if _, is := g.Resource(w.Resource); is && w.Kind == state.Stop && !w.Over(time.Now()) {
			stopped[w.Resource] = true
		}
	}
	return stopped
}

// take makes this node the owner, and only then begins.
func (e *Engine) take(ctx context.Context, session *state.Session, seen state.Group, d placement.Decision) error {
	g, ok := e.Cluster().Group(d.Group)
	if !ok {
		return fmt.Errorf("group %s is not in the configuration", d.Group)
	}
	members, err := e.members(g, true)
	if err != nil {
		return err
	}
	record, err := session.Take(ctx, seen, 0, d.Reason)
	if errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrOwned) {
		return nil // the next snapshot says who was quicker
	}
	if err != nil {
		return err
	}
	e.Log.Info("taken", "group", g.Name, "epoch", record.Epoch, "from", record.Former, "reason", d.Reason)
	t := newTenure(g, record.Epoch, members, e.Log, e.hear, e.watch)
	t.stopped = map[string]bool{}
	for _, name := range d.Abandon {
		t.left[name] = true
	}
	e.owned[g.Name] = &owned{record: record, tenure: t}
	go t.run(ctx)
	return nil
}

// end begins to stop a group.
func (e *Engine) end(ctx context.Context, session *state.Session, o *owned, reason string) {
	if o.asked {
		return
	}
	o.asked = true
	e.Log.Info("stopping", "group", o.tenure.group.Name, "reason", reason)
	o.tenure.order(order{end: true})
	e.put(ctx, session, o, func(g *state.Group) { g.Phase, g.Why = state.Stopping, reason })
}

// put writes what the owner has to say; if it cannot, the next round tries again.
func (e *Engine) put(ctx context.Context, session *state.Session, o *owned, change func(*state.Group)) {
	g := o.record
	change(&g)
	for range 3 {
		now, err := session.Put(ctx, g)
		if err == nil {
			o.record = now
			return
		}
		if !errors.Is(err, state.ErrConflict) || !session.Owns(now) {
			e.Log.Warn("could not be written down", "group", g.Name, "phase", g.Phase, "error", err)
			return
		}
		g = now
		change(&g)
	}
}

// digest notes what a tenure tells.
func (e *Engine) digest(n news) {
	o := e.owned[n.t.group.Name]
	session := e.Session()
	if o == nil || o.tenure != n.t || session == nil {
		return // of what runs everywhere, or of an earlier tenure
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch {
	case n.settled:
		asked := o.record.Why
		e.put(ctx, session, o, func(g *state.Group) { g.Phase, g.Why = state.Running, asked })
	case n.failed != "":
		e.put(ctx, session, o, func(g *state.Group) {
			g.Failures = append(slices.Clip(g.Failures), state.Failure{Node: e.Node.Name, Resource: n.failed, At: time.Now(), Fatal: n.fatal})
			g.Why = fmt.Sprintf("%s failed: %v", n.failed, n.reason)
		})
	case n.stuck != nil:
		e.put(ctx, session, o, func(g *state.Group) { g.Phase, g.Why = state.Failed, n.stuck.Error() })
	case n.ended:
		o.ended = true
	}
}

// tidyUp gives up what has ended, and what this node owned in a former life: when the
// loop began nothing of it was here.
func (e *Engine) tidyUp(ctx context.Context, session *state.Session, s state.Snapshot) {
	for name, o := range e.owned {
		if !o.ended || time.Now().Before(o.retry) {
			continue
		}
		free, err := session.Free(ctx, o.record, "nothing of it is left on "+e.Node.Name)
		if errors.Is(err, state.ErrConflict) && session.Owns(free) {
			o.record = free
			free, err = session.Free(ctx, free, "nothing of it is left on "+e.Node.Name)
		}
		if err != nil {
			const pause = time.Second
			o.retry = time.Now().Add(pause)
			e.Log.Warn("could not be given up", "group", name, "error", err)
			continue
		}
		e.Log.Info("given up", "group", name, "epoch", free.Epoch)
		s.Groups[name] = free
		o.record, o.tenure = free, nil
		delete(e.owned, name)
	}
	for name, g := range s.Groups {
		if g.Owner == e.Node.Name && !session.Owns(g) && e.owned[name] == nil {
			if _, err := session.Free(ctx, g, "nothing of it was left on "+e.Node.Name+" when it came back"); err != nil && !errors.Is(err, state.ErrConflict) {
				e.Log.Warn("could not be given up", "group", name, "error", err)
			}
		}
	}
}

// obey does what was asked for once.
func (e *Engine) obey(ctx context.Context, session *state.Session, s state.Snapshot) {
	for _, w := range s.Wishes {
		switch w.Kind {
		case state.Restart:
			for _, o := range e.owned {
				if _, is := o.tenure.group.Resource(w.Resource); is && !o.asked {
					if e.Store.EndWish(ctx, w, w.By, "it is being done") == nil {
						o.tenure.order(order{restart: w.Resource})
					}
				}
			}
		case state.Move:
			if g := s.Groups[w.Group]; session.Owns(g) && g.Phase == state.Running && w.Node == e.Node.Name {
				_ = e.Store.EndWish(ctx, w, w.By, "it is there") // the next round tries again
			}
		}
	}
}

func (e *Engine) nothingOwned() bool { return len(e.owned) == 0 }
