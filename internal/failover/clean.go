// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// Clean stops everything of the cluster's on this node in a hurry, without asking
// anybody. It is for a node on which no loop runs. What takes longer is left to the next
// daemon: it has to be present before the lease of the former one ends.
func (e *Engine) Clean(ctx context.Context) error {
	const part = 4 // of the lease: the daemon may have hung before, and has to come up again
	ctx, cancel := context.WithTimeout(ctx, e.Cluster().Lease/part)
	defer cancel()
	addresses := e.sweepAddresses(ctx)
	sweeps := e.sweepAll(ctx, e.leftovers(ctx, e.glance()))
	for _, t := range sweeps {
		t.order(order{end: true, hurry: e.hurry()})
	}
	return errors.Join(addresses, e.swept(ctx, sweeps))
}

// sweepAddresses lets go what nobody holds a lease for.
func (e *Engine) sweepAddresses(ctx context.Context) error {
	dropped, err := e.Drop(ctx)
	for _, h := range dropped {
		e.Log.Warn("an address was here that nobody held a lease for", "address", h.Addr, "interface", h.Interface)
	}
	return err
}

// leftover is a group of which something may be here that no tenure answers for.
type leftover struct {
	group resources.Group
	dirty map[string]bool // the resources that were not proved to be stopped
}

// glance is how long a look for what was left may take: the presence waits for it.
func (e *Engine) glance() time.Duration {
	const part = 10 // of the lease
	return e.Cluster().Lease / part
}

// leftovers looks for what a former daemon may have left here. It takes no longer than
// most: what has not shown by then that it is not here may be.
func (e *Engine) leftovers(ctx context.Context, most time.Duration) []leftover {
	groups := slices.Concat(e.Cluster().Groups, e.unlisted())
	found := make([]leftover, len(groups))
	var looks sync.WaitGroup
	var mu sync.Mutex
	for i, g := range groups {
		found[i] = leftover{group: g, dirty: map[string]bool{}}
		for _, r := range g.Resources {
			found[i].dirty[r.Name] = true
		}
		for _, r := range g.Resources { // all of them are in the map before anybody else touches it
			looks.Go(func() {
				d, err := e.driver(r)
				if err != nil || d.gone(ctx, most) != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				delete(found[i].dirty, r.Name)
			})
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); looks.Wait() }()
	e.await(ctx, done, most)
	mu.Lock()
	defer mu.Unlock()
	var left []leftover
	for _, l := range found {
		if len(l.dirty) > 0 {
			left = append(left, leftover{l.group, maps.Clone(l.dirty)})
		}
	}
	return left
}

// sweepAll begins to stop what a former daemon has left, by tenures that only end.
func (e *Engine) sweepAll(ctx context.Context, left []leftover) (sweeps []*tenure) {
	for _, l := range left {
		s := shape{window: l.group.FailureWindow, compare: e.compare}
		for _, r := range l.group.Resources {
			if d, err := e.driver(r); err == nil { // a kind that is not known cannot have been started
				s.parts = append(s.parts, part{driver: d})
			}
		}
		t := newTenure(l.group.Name, 0, s, e.Log.With("left", true), e.news.put, e.watch)
		t.meter = e.Meter
		for _, m := range t.members {
			if l.dirty[m.resource.Name] {
				m.enter(ailing, "a former daemon has left it")
			}
		}
		t.order(order{end: true})
		e.Log.Warn("something was left here: it is stopped first", "group", l.group.Name, "resources", slices.Sorted(maps.Keys(l.dirty)))
		sweeps = append(sweeps, t)
		go t.run(ctx)
	}
	return sweeps
}

// swept waits for sweeps until ctx ends, and says what of them is not proved to be
// stopped.
func (e *Engine) swept(ctx context.Context, sweeps []*tenure) error {
	var errs []error
	for _, t := range sweeps {
		select {
		case <-t.done:
		case <-ctx.Done():
		}
		if s := t.standing(); !s.over {
			errs = append(errs, fmt.Errorf("something of %s is still here: %s", t.name, cmp.Or(s.why, "its stop goes on")))
		}
	}
	return errors.Join(errs...)
}

// own has the loop answer for what is being swept, as for every group that ends here.
func (e *Engine) own(sweeps []*tenure) {
	for _, t := range sweeps {
		e.owned[t.name] = &owned{record: state.Group{Name: t.name}, tenure: t, left: true, reason: "a former daemon had left it there", since: time.Now()}
	}
}

// adopt makes the groups of sweeps this session's own, once, unless they are another
// node's by now: nobody starts them before they are proved to be stopped here.
func (e *Engine) adopt(u *turn) {
	for name, o := range e.owned {
		seen, known := u.state.Groups[name]
		_, listed := e.Cluster().Group(name)
		if !o.left || !known && !listed || seen.Owner != "" && seen.Owner != e.Node.Name || u.ctx.Err() != nil {
			continue
		}
		seen.Name = name
		if u.session.Owns(seen) { // it was handed over before it was adopted
			o.left = false
			o.note(e, seen)
			continue
		}
		now, err := u.session.Adopt(u.ctx, seen, o.reason)
		if err != nil {
			if !errors.Is(err, state.ErrConflict) { // the next snapshot tells
				e.Log.Warn("could not be adopted", "group", name, "error", err)
			}
			continue
		}
		o.left = false
		o.note(e, now)
		u.state.Groups[name] = now
	}
}

// await waits as a part of the loop, which counts as alive meanwhile, but no longer than
// for so long or until ctx ends.
func (e *Engine) await(ctx context.Context, done <-chan struct{}, most time.Duration) {
	const each = 200 * time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	end := time.After(most)
	for {
		e.alive()
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// unlisted are the resources that ran here by the agents' own notes, and that the
// configuration no longer has.
func (e *Engine) unlisted() []resources.Group {
	boards, _ := agents.Statuses(e.StateDir) // what cannot be read is not known
	var groups []resources.Group
	for _, b := range boards {
		kind, known := e.types[b.Agent]
		if _, listed := e.Cluster().Resource(b.Resource); listed || !known || b.Phase == agents.Stopped {
			continue
		}
		r := resources.Resource{Name: b.Resource, Kind: b.Agent, StopTimeout: time.Minute}
		for _, a := range kind.Actions {
			if a.Name == "stop" {
				r.StopTimeout = a.Timeout
			}
		}
		// No group can have this name.
		groups = append(groups, resources.Group{Name: "unlisted:" + b.Resource, Resources: []resources.Resource{r}})
	}
	return groups
}
