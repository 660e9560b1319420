// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/resources"
)

// tenure is the time for which this node runs a group, or the part of it that runs
// everywhere. One loop compares what is with what should be, and begins the next
// operation of each resource for which it is time; operations run beside it.
type tenure struct {
	group  resources.Group
	epoch  uint64
	log    *slog.Logger
	tell   func(news) // never waits
	watch  watch
	orders chan order
	quit   chan struct{} // closed when the loop has ended
	done   chan struct{} // closed when nothing is under way any more either
	ops    sync.WaitGroup

	shown atomic.Pointer[[]view]

	// What follows belongs to the loop.
	members []*member
	ending  bool
	hurry   time.Duration   // how long a stop may take; 0: what the configuration says
	stopped map[string]bool // by an operator
	left    map[string]bool // abandoned, because they failed too often
	settled bool            // everything was tried once
	results chan result
}

// watch calls wake whenever something happens that may concern a resource, until ctx
// ends.
type watch func(ctx context.Context, d *driver, wake func())

// news is what a tenure tells.
type news struct {
	t *tenure
	// What happened, one of:
	settled bool   // everything that should run does, or was tried
	ended   bool   // nothing of the group is left here
	stuck   error  // a stop failed
	failed  string // a resource failed
	fatal   bool   // and another try here is no use
	reason  error
	change  bool // something that people may want to see
}

// order changes what should be.
type order struct {
	end     bool
	hurry   time.Duration
	stopped map[string]bool // nil: as it was
	left    map[string]bool // nil: as it was
	restart string
	done    chan error // told when it was taken; may be nil
}

// result is how an operation or a watch over a resource ended.
type result struct {
	m     *member
	what  string // start, stop or watch
	err   error
	note  string // of watch, if it goes on: what is not well; empty: it is well again
	noted bool
}

func newTenure(g resources.Group, epoch uint64, members []*member, log *slog.Logger, tell func(news), watch watch) *tenure {
	return &tenure{
		group: g, epoch: epoch, members: members, log: log.With("group", g.Name, "epoch", epoch), tell: tell, watch: watch,
		orders: make(chan order, 16), results: make(chan result, 16), quit: make(chan struct{}), done: make(chan struct{}),
		stopped: map[string]bool{}, left: map[string]bool{},
	}
}

// order hands an order in; it does nothing once the tenure is over.
func (t *tenure) order(o order) {
	select {
	case t.orders <- o:
	case <-t.quit:
		if o.done != nil {
			o.done <- errors.New("the group is not here any more")
		}
	}
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
			t.tell(news{t: t, ended: true})
			return
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case o := <-t.orders:
			t.take(o)
		case r := <-t.results:
			t.hear(ctx, r)
		case <-timer:
		}
	}
}

// show keeps what others may see without waiting for the loop.
func (t *tenure) show() {
	var all []view
	for _, m := range t.members {
		all = append(all, view{m.resource.Name, m.resource.Kind, m.condition, m.doing, m.degraded, m.detail, m.since, len(m.failures)})
	}
	t.shown.Store(&all)
}

func (t *tenure) views() []view {
	if all := t.shown.Load(); all != nil {
		return *all
	}
	return nil
}

func (t *tenure) over() bool {
	return t.ending && !slices.ContainsFunc(t.members, func(m *member) bool { return m.condition != down })
}

func (t *tenure) take(o order) {
	if o.end {
		t.ending = true
		if o.hurry > 0 && (t.hurry == 0 || o.hurry < t.hurry) {
			t.hurry = o.hurry
		}
		for _, m := range t.members {
			// What still starts need not be waited for, nor, in a hurry, an orderly stop.
			if m.cancel != nil && (m.doing != "stop" || o.hurry > 0) {
				m.cancel()
			}
			m.again = time.Time{}
		}
	}
	if o.stopped != nil {
		t.stopped = o.stopped
	}
	if o.left != nil {
		t.left = o.left
	}
	for _, m := range t.members {
		if m.resource.Name == o.restart {
			m.renew, m.failures, m.again = true, nil, time.Time{}
			delete(t.left, o.restart)
		}
	}
	if o.done != nil {
		o.done <- nil
	}
}

// wanted says whether a resource should run.
func (t *tenure) wanted(m *member) bool {
	name := m.resource.Name
	return !t.ending && !t.stopped[name] && !t.left[name] && !t.groundless(m)
}

// groundless says whether something that the resource lies on is going.
func (t *tenure) groundless(m *member) bool {
	return slices.ContainsFunc(t.before(m), func(b *member) bool {
		return b.carries() && (b.renew || b.condition == ailing || b.condition == stuck || !t.wanted(b))
	})
}

// before are those that a resource is started after, and after those that are stopped
// after it.
func (t *tenure) before(m *member) []*member {
	return t.filter(func(b *member) bool { return slices.Contains(m.resource.After, b.resource.Name) })
}

func (t *tenure) after(m *member) []*member {
	return t.filter(func(a *member) bool { return slices.Contains(a.resource.After, m.resource.Name) })
}

func (t *tenure) filter(is func(*member) bool) []*member {
	var found []*member
	for _, m := range t.members {
		if is(m) {
			found = append(found, m)
		}
	}
	return found
}

// reconcile begins what can be begun, and says when to look again though nothing has
// happened; zero: never.
func (t *tenure) reconcile(ctx context.Context) (next time.Time) {
	now := time.Now()
	for _, m := range t.members {
		if m.condition == working {
			continue
		}
		wait := m.again.After(now)
		if wait && (next.IsZero() || m.again.Before(next)) {
			next = m.again
		}
		want := t.wanted(m)
		switch {
		case wait:
		case m.condition == up && (!want || m.renew):
			if t.free(m) {
				t.begin(ctx, m, "stop")
			}
		case m.condition == ailing || m.condition == stuck:
			if t.free(m) {
				t.begin(ctx, m, "stop") // clean up first, whatever comes then
			}
		case m.condition == down && want && t.grounded(m):
			m.renew = false
			t.begin(ctx, m, "start")
		}
	}
	t.settle()
	return next
}

// free says whether nothing that is stopped before it is still there.
func (t *tenure) free(m *member) bool {
	if !t.ending && !m.carries() {
		return true // a service alone may go and come: those after it only need it to start
	}
	return !slices.ContainsFunc(t.after(m), func(a *member) bool { return a.condition != down })
}

// grounded says whether everything that it is started after is there.
func (t *tenure) grounded(m *member) bool {
	return !slices.ContainsFunc(t.before(m), func(b *member) bool { return b.condition != up })
}

// settle tells once that nothing more is about to happen by itself.
func (t *tenure) settle() {
	if t.ending || t.settled {
		return
	}
	for _, m := range t.members {
		if m.condition == working || m.condition == down && t.wanted(m) && t.grounded(m) {
			return
		}
	}
	t.settled = true
	t.tell(news{t: t, settled: true})
}

// begin runs an operation beside the loop.
func (t *tenure) begin(ctx context.Context, m *member, what string) {
	ctx, cancel := context.WithCancel(ctx)
	if m.cancel != nil {
		m.cancel() // the watch over it
	}
	m.enter(working, "")
	m.cancel, m.doing = cancel, what
	epoch, timeout := t.epoch, m.resource.StopTimeout
	if t.hurry > 0 {
		timeout = min(timeout, t.hurry)
	}
	t.tell(news{t: t, change: true})
	t.ops.Go(func() {
		defer cancel()
		var err error
		if what == "start" {
			err = m.bring(ctx, epoch)
		} else {
			err = m.quit(ctx, timeout)
		}
		t.report(result{m: m, what: what, err: err})
	})
}

// report reaches the loop as long as there is one.
func (t *tenure) report(r result) {
	select {
	case t.results <- r:
	case <-t.quit:
	}
}

func (t *tenure) hear(ctx context.Context, r result) {
	m := r.m
	log := t.log.With("resource", m.resource.Name)
	switch r.what {
	case "start":
		if r.err == nil {
			m.enter(up, "")
			t.tend(ctx, m)
			break
		}
		m.enter(ailing, r.err.Error())
		if t.ending || t.stopped[m.resource.Name] {
			break // it was cut off
		}
		log.Error("start failed", "error", r.err)
		t.failure(m, r.err, true) // as a rule another try would fail as well, and costs clients the whole timeout
	case "stop":
		if r.err == nil {
			m.enter(down, m.detail)
			break
		}
		const pause = 2 * time.Second
		m.enter(stuck, r.err.Error())
		if t.hurry == 0 {
			m.again = time.Now().Add(pause)
		}
		log.Error("stop failed", "error", r.err)
		t.tell(news{t: t, stuck: fmt.Errorf("%s: %w", m.resource.Name, r.err)})
	case "watch":
		if m.condition != up {
			break // of a watch that has ended
		}
		if r.noted {
			m.degraded, m.detail = r.note != "", r.note
			break
		}
		t.judge(ctx, m, r.err, log)
	}
	t.tell(news{t: t, change: true})
}

// judge deals with a resource that was found failed.
func (t *tenure) judge(ctx context.Context, m *member, err error, log *slog.Logger) {
	log.Error("it has failed", "error", err)
	if m.resource.OnFailure == resources.OnFailureIgnore {
		m.degraded, m.detail = true, err.Error()
		t.tend(ctx, m)
		return
	}
	m.enter(ailing, err.Error())
	t.failure(m, err, m.resource.OnFailure == resources.OnFailureMove)
}

// failure counts one. Whether the group goes elsewhere is not for the tenure to say:
// until it is told to end, it tries again here as often as the threshold allows.
func (t *tenure) failure(m *member, err error, fatal bool) {
	m.failures = append(m.failures, time.Now())
	n := m.recent(t.group.FailureWindow)
	switch {
	case m.resource.OnFailure == resources.OnFailureStop, fatal, n >= max(1, m.resource.Threshold):
		t.left[m.resource.Name] = true // until a plan says otherwise
	}
	t.tell(news{t: t, failed: m.resource.Name, fatal: fatal || m.resource.OnFailure == resources.OnFailureStop, reason: err})
}
