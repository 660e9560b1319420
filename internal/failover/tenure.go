// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// tenure is the time for which this node runs a group, or the part of it that runs
// everywhere. One loop compares what is with what should be, and begins the next
// operation of each resource for which it is time; operations run beside it.
type tenure struct {
	name string
	log  *slog.Logger
	// lease ends with the right to start anything. Valid says, without any goroutine having
	// to run, whether anything may be started now; it may say so again later.
	lease  context.Context
	valid  func() bool
	tell   func(news) // never waits
	watch  watch
	meter  Meter
	orders *queue[order]
	quit   chan struct{} // closed when the loop has ended
	done   chan struct{} // closed when nothing is under way any more either
	ops    sync.WaitGroup

	shown   atomic.Pointer[standing]
	holding atomic.Bool // nothing is to be touched: what fails is told, no more

	// What follows belongs to the loop.
	window   time.Duration // in which failures count
	epoch    uint64
	freed    bool // the former owner has just proved that nothing of it is left there
	members  []*member
	ending   bool
	hurry    time.Duration // how long a stop may take; 0: what the configuration says
	stopped  map[string]bool
	left     map[string]bool // abandoned by the plan
	given    map[string]int  // abandoned here, until the plan has seen that failure
	failures int
	seen     int  // of failures, by the plan
	settled  bool // everything was tried once
	results  *queue[result]
}

// watch calls wake whenever something happens that may concern a resource, until ctx
// ends, and at once if something has since then.
type watch func(ctx context.Context, d *driver, since time.Time, wake func())

// news is what a tenure tells. Without any of the fields, what it shows has changed.
type news struct {
	t       *tenure
	failure *failure
	marked  uint64 // the epoch of data that a resource could not be started on
}

// failure is one of a resource.
type failure struct {
	resource string
	number   int // of this tenure's failures
	fatal    bool
	at       time.Time
	err      error
}

// order says what should be.
type order struct {
	end   bool
	hurry time.Duration
	// What follows replaces what was ordered before, where it is not nil.
	stopped map[string]bool // by an operator
	left    map[string]bool // abandoned
	seen    int             // how many failures were known to whoever said so
	hold    *bool
	shape   *shape
	epoch   uint64
	restart *restart
}

// restart is asked for once, by a number that is told when it is done.
type restart struct {
	resource string
	serial   int64
}

// shape is what a tenure consists of.
type shape struct {
	parts   []part
	window  time.Duration
	compare func(before, after resources.Resource) change
}

// standing is what a tenure shows.
type standing struct {
	phase state.Phase
	why   string // of Failed
	over  bool   // nothing of it is left here
	views []view
}

func newTenure(name string, epoch uint64, s shape, log *slog.Logger, tell func(news), w watch) *tenure {
	t := &tenure{
		name: name, epoch: epoch, window: s.window, log: log.With("group", name), tell: tell, watch: w,
		lease: context.Background(), valid: func() bool { return true }, meter: nobody{},
		orders: newQueue[order](), results: newQueue[result](), quit: make(chan struct{}), done: make(chan struct{}),
		stopped: map[string]bool{}, left: map[string]bool{}, given: map[string]int{},
	}
	for _, p := range s.parts {
		t.members = append(t.members, &member{part: p, since: time.Now()})
	}
	t.shown.Store(&standing{phase: state.Starting})
	return t
}

// order hands an order in; it does nothing once the tenure is over.
func (t *tenure) order(o order) { t.orders.put(o) }

// standing is what the tenure showed last.
func (t *tenure) standing() standing { return *t.shown.Load() }

// holds says whether something of a resource may be here by this tenure's doing.
func (t *tenure) holds(resource string, roles ...role) bool {
	return slices.ContainsFunc(t.standing().views, func(v view) bool {
		return v.name == resource && slices.Contains(roles, v.role)
	})
}

// view is what the tenure showed last of one resource.
func (t *tenure) view(resource string) (view, bool) {
	views := t.standing().views
	i := slices.IndexFunc(views, func(v view) bool { return v.name == resource })
	if i < 0 {
		return view{}, false
	}
	return views[i], true
}

// run ends when everything is stopped after an order to end, or when ctx ends, which
// leaves everything as it is.
func (t *tenure) run(ctx context.Context) {
	defer close(t.done)
	defer t.ops.Wait()
	defer close(t.quit)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		next := t.reconcile(ctx)
		t.show()
		if t.over() {
			return
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.orders.some:
			for _, o := range t.orders.take() {
				t.take(o)
			}
		case <-t.results.some:
			for _, r := range t.results.take() {
				t.hear(ctx, r)
			}
		case <-timer:
		}
	}
}

// show keeps what others may see without waiting for the loop, and tells of changes.
func (t *tenure) show() {
	s := standing{phase: state.Starting, over: t.over()}
	switch {
	case t.ending:
		s.phase = state.Stopping
	case t.settled:
		s.phase = state.Running
	}
	for _, m := range t.members {
		if m.condition == stuck || m.condition == working && m.doing == stopping && m.detail != "" {
			s.phase, s.why = state.Failed, m.resource.Name+" could not be stopped: "+m.detail
		}
		s.views = append(s.views, view{m.resource.Name, m.resource.Kind, m.role, m.condition, m.doing, m.degraded, m.detail, m.since, len(m.failures), m.restarted})
	}
	last := t.standing()
	if s.phase == last.phase && s.why == last.why && s.over == last.over && slices.Equal(s.views, last.views) {
		return
	}
	t.shown.Store(&s)
	t.tell(news{t: t})
}

func (t *tenure) over() bool {
	return t.ending && !slices.ContainsFunc(t.members, func(m *member) bool { return m.condition != down })
}

// take carries an order into what should be.
func (t *tenure) take(o order) {
	if o.end {
		t.ending = true
		if o.hurry > 0 && (t.hurry == 0 || o.hurry < t.hurry) {
			t.hurry = o.hurry
			for _, m := range t.members {
				// An orderly stop need not be waited for any more.
				if m.cancel != nil && m.doing == stopping {
					m.cancel()
				}
				m.again = time.Time{}
			}
		}
	}
	if o.stopped != nil {
		t.stopped = o.stopped
	}
	if o.left != nil {
		t.left, t.seen = o.left, max(t.seen, o.seen)
		maps.DeleteFunc(t.given, func(_ string, number int) bool { return number <= t.seen })
	}
	if o.hold != nil {
		t.holding.Store(*o.hold)
	}
	t.epoch = max(t.epoch, o.epoch)
	if o.shape != nil {
		t.become(*o.shape)
	}
	for _, m := range t.members {
		if o.restart != nil && m.resource.Name == o.restart.resource {
			m.renew, m.failures, m.again = true, nil, time.Time{}
			delete(t.given, m.resource.Name)
			if m.serial = o.restart.serial; m.condition == down && !t.wanted(m) {
				m.restarted = m.serial // it is to be stopped
			}
		}
	}
}

// become has the tenure consist of something else. What is the same goes on.
func (t *tenure) become(s shape) {
	t.window = s.window
	var order []*member
	for _, p := range s.parts {
		i := slices.IndexFunc(t.members, func(m *member) bool { return m.resource.Name == p.resource.Name })
		if i < 0 {
			order = append(order, &member{part: p, since: time.Now()})
			t.settled = false
			continue
		}
		m := t.members[i]
		target := m.part
		switch {
		case m.next != nil:
			target = *m.next
		case m.fresh != nil:
			target = *m.fresh
		}
		if how := s.compare(target.resource, p.resource); how != equal || target.role != p.role || m.removed {
			m.become(p, how)
			if m.condition == up && m.next == nil && m.fresh == nil {
				m.turn++             // the watch goes by the new one
				if m.cancel != nil { // nil: it has another one since the last order, and no watch yet
					m.cancel()
				}
				m.cancel = nil
			}
		}
		order = append(order, m)
	}
	for _, m := range t.members {
		if !slices.Contains(order, m) {
			m.removed = true
			order = append(order, m)
		}
	}
	t.members = order
}
