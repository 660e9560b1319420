// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// owned is a group that this node owns, or has to give up.
type owned struct {
	record  state.Group // as etcd has it, as far as known
	tenure  *tenure
	shape   shaped
	since   time.Time
	lost    bool   // the former owner was gone
	left    bool   // by a former daemon, and not adopted yet
	reason  string // why it is to end; empty: it is not
	why     string // what the record is to say next; empty: what it says
	pending []state.Failure
	// forgiven are resources whose failures are to be forgotten.
	forgiven []string
	seen     int    // how many failures the tenure has told
	floor    uint64 // what the epoch has to be at least
	running  bool   // it ran as a whole
	// restarts are those that were asked for and begun, by resource: the revisions of the wishes.
	restarts map[string]int64
	sent     order
}

// take makes this node the owner, and only then begins.
func (e *Engine) take(u *turn, seen state.Group, d placement.Decision) error {
	if u.ctx.Err() != nil {
		return nil
	}
	g, ok := e.Cluster().Group(d.Group)
	if !ok {
		return fmt.Errorf("group %s is not in the configuration", d.Group)
	}
	record, err := u.session.Take(u.ctx, seen, state.Claim{Why: d.Reason, Uncounted: d.Asked || returns(g, seen, e.Node.Name)})
	if errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrOwned) {
		return nil // the next snapshot says who was quicker
	}
	if err != nil {
		return err
	}
	e.records[g.Name] = record
	e.Log.Info("taken", "group", g.Name, "epoch", record.Epoch, "from", record.Former, "reason", d.Reason)
	return e.begin(u, record, d)
}

// returns says whether a group comes back to a node that it prefers to its last.
func returns(g resources.Group, seen state.Group, node string) bool {
	last := seen.Owner
	if last == "" {
		last = seen.Former
	}
	here, ok := g.Rank(node)
	there, was := g.Rank(last)
	return ok && was && here < there
}

// begin runs what this node owns.
func (e *Engine) begin(u *turn, record state.Group, d placement.Decision) error {
	o := &owned{record: record, since: u.now.UTC().Truncate(time.Millisecond), lost: d.Action == placement.Take}
	s, err := e.shapeOf(u, record.Name, false)
	if err != nil {
		return err
	}
	o.shape = s
	t := newTenure(record.Name, record.Epoch, s.shape, e.Log, e.news.put, e.watch)
	session := u.session
	t.lease, t.valid, t.meter, t.freed = u.lease, func() bool { return e.firm(session) }, e.Meter, record.Handed
	for _, name := range d.Abandon {
		t.left[name] = true
	}
	t.stopped = stoppedBy(u)
	t.holding.Store(e.caring)
	o.tenure = t
	e.owned[record.Name] = o
	go t.run(u.term.ctx)
	return nil
}

// end begins to stop a group.
func (o *owned) end(reason string) {
	if o.reason != "" {
		return
	}
	o.reason, o.why = reason, reason
	o.tenure.order(order{end: true})
}

func (e *Engine) endAll() {
	for _, o := range e.owned {
		o.end(e.Node.Name + " leaves the cluster")
	}
	if len(e.owned) == 0 { // what runs everywhere may be what the others stand on
		for _, s := range e.standby {
			s.end()
		}
	}
}

// keep says what should run, unless that was said before. It returns what was said.
func (t *tenure) keep(was, now order) order {
	if was.hold != nil && *was.hold == *now.hold && was.seen == now.seen && maps.Equal(was.left, now.left) && maps.Equal(was.stopped, now.stopped) {
		return was
	}
	hold := *now.hold
	now.hold = &hold
	t.order(now)
	return now
}

// stays says whether a failure leaves a resource stopped until somebody forgives it:
// the plan says so itself of those that may go elsewhere.
func stays(r resources.Resource, f state.Failure) bool {
	return r.OnFailure == resources.OnFailureStop || r.OnFailure == resources.OnFailureIgnore && f.Fatal
}

func stoppedBy(u *turn) map[string]bool {
	stopped := map[string]bool{}
	for _, w := range u.state.Wishes {
		if w.Kind == state.Stop && !w.Over(u.now) {
			stopped[w.Resource] = true
		}
	}
	return stopped
}

// digest notes what a tenure tells.
func (e *Engine) digest(n news) {
	if s := e.standby[n.t.name]; s != nil && s.tenure == n.t && n.failure != nil {
		g, _ := e.Cluster().Group(n.t.name)
		s.fail(*n.failure, g.FailureWindow)
	}
	o := e.owned[n.t.name]
	if o == nil || o.tenure != n.t {
		return // of an earlier tenure
	}
	if f := n.failure; f != nil {
		o.seen = f.number
		o.pending = append(o.pending, state.Failure{Node: e.Node.Name, Resource: f.resource, At: f.at.UTC().Truncate(time.Millisecond), Fatal: f.fatal})
		o.why = fmt.Sprintf("%s failed: %v", f.resource, f.err)
	}
	if n.marked > 0 {
		o.floor = max(o.floor, n.marked+1)
		o.why = fmt.Sprintf("its data are marked with epoch %d", n.marked)
	}
}

// tell writes down how the groups are, and gives up what has ended. What cannot be
// written now is written later.
func (e *Engine) tell(u *turn) {
	for _, name := range slices.Sorted(maps.Keys(e.owned)) {
		o := e.owned[name]
		s := o.tenure.standing()
		switch {
		case u.ctx.Err() != nil:
			return
		case s.over:
			e.giveUp(u, o)
		default:
			e.put(u, o, s)
		}
		if s.phase == state.Running && !o.running {
			o.running = true
			e.Meter.Taken(name, time.Since(o.since), o.lost)
		}
	}
}

// came says how the group came to run here.
func (o *owned) came() string {
	switch g := o.record; {
	case g.Former == "" || g.Former == g.Owner:
		return "it was started on " + g.Owner
	case o.lost:
		return g.Owner + " took it over when " + g.Former + " was lost"
	default:
		return "it came from " + g.Former + " to " + g.Owner
	}
}

func (e *Engine) put(u *turn, o *owned, s standing) {
	why := o.why
	switch {
	case o.record.Phase == state.Failed && s.phase == state.Stopping:
		s.phase = state.Failed // until it is proved, whoever tried it before
	case s.phase == state.Failed:
		why = s.why
	case s.phase == state.Running && why == "":
		why = o.came()
	}
	for range 3 {
		if !u.session.Owns(o.record) {
			return // carryOut ends it
		}
		g := o.record
		g.Phase, g.Epoch = s.phase, max(g.Epoch, o.floor)
		if why != "" {
			g.Why = why
		}
		if len(o.forgiven) > 0 {
			g.Failures = slices.DeleteFunc(slices.Clone(g.Failures), func(f state.Failure) bool { return slices.Contains(o.forgiven, f.Resource) })
		}
		for _, f := range o.pending {
			if !slices.ContainsFunc(g.Failures, func(other state.Failure) bool {
				return other.Node == f.Node && other.Resource == f.Resource && other.At.Equal(f.At)
			}) {
				g.Failures = append(slices.Clip(g.Failures), f)
			}
		}
		if g.Phase == o.record.Phase && g.Epoch == o.record.Epoch && len(g.Failures) == len(o.record.Failures) {
			o.pending, o.forgiven = nil, nil
			return
		}
		raised := g.Epoch > o.record.Epoch
		now, err := u.session.Put(u.ctx, g)
		if err == nil {
			o.note(e, now)
			o.pending, o.forgiven, o.why = nil, nil, ""
			if raised {
				e.Log.Warn("the epoch was raised", "group", g.Name, "epoch", g.Epoch, "reason", why)
				o.tenure.order(order{epoch: g.Epoch})
			}
			return
		}
		if !errors.Is(err, state.ErrConflict) {
			e.Log.Warn("could not be written down", "group", g.Name, "phase", g.Phase, "error", err)
			return
		}
		if now.Name != "" {
			o.note(e, now)
		}
	}
}

// note keeps the record as etcd has it.
func (o *owned) note(e *Engine, now state.Group) {
	o.record = now
	e.records[now.Name] = now
}

// giveUp frees a group of which nothing is left here.
func (e *Engine) giveUp(u *turn, o *owned) {
	name := o.tenure.name
	for range 3 {
		if !u.session.Owns(o.record) { // an operator was quicker, or an earlier answer was lost
			delete(e.owned, name)
			return
		}
		if e.handOver(u, o) {
			delete(e.owned, name)
			return
		}
		free, err := u.session.Free(u.ctx, o.record, "nothing of it is left on "+e.Node.Name+": "+o.reason)
		if err == nil {
			e.Log.Info("given up", "group", name, "epoch", free.Epoch)
			o.note(e, free)
			delete(e.owned, name)
			return
		}
		if !errors.Is(err, state.ErrConflict) {
			e.Log.Warn("could not be given up", "group", name, "error", err)
			return
		}
		if free.Name == "" {
			return
		}
		o.note(e, free)
	}
}

// handOver gives a group to the node that would take it next, which saves that node a
// write that clients would wait for. If it says false, whoever wants the group takes it.
func (e *Engine) handOver(u *turn, o *owned) bool {
	if !u.fresh {
		return false
	}
	s, c := e.overlay(u.snapshot), e.Cluster()
	name := o.tenure.name
	free := s.Groups[name]
	free.Former, free.Owner, free.Session, free.Phase = e.Node.Name, "", 0, state.Free
	s.Groups[name] = free
	d, ok := placement.Make(survey.State(s, c, u.now, e.Store.Time().Now())).Of(name)
	to, there := s.Nodes[d.Node]
	g, listed := c.Group(name)
	if !ok || !there || !listed || d.Action != placement.Start || d.Node == e.Node.Name {
		return false
	}
	given, err := u.session.Hand(u.ctx, o.record, to, state.Claim{Why: d.Reason, Uncounted: d.Asked || returns(g, free, d.Node)})
	if err != nil {
		return false // it is this session's own still, or the next try finds out whose it is
	}
	e.Log.Info("handed over", "group", name, "to", d.Node, "epoch", given.Epoch, "reason", d.Reason)
	e.records[name] = given
	return true
}
