// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// Clean stops everything of the cluster's on this node, without asking anybody. It is
// for a node on which no loop runs.
func (e *Engine) Clean(ctx context.Context) error { return e.clean(ctx) }

// clean stops everything of the cluster's on this node: whoever has no lease may have
// nothing. Addresses go first. What hangs is left to the watchdog.
func (e *Engine) clean(ctx context.Context) error {
	const most = 2 * time.Minute
	const grace = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	dropped, dropErr := e.Drop(ctx)
	for _, h := range dropped {
		e.Log.Warn("an address was here that nobody held a lease for", "address", h.Addr, "interface", h.Interface)
	}
	groups := slices.Concat(e.Cluster().Groups, e.unlisted())
	errs := make([]error, len(groups))
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() { errs[i] = e.cleanGroup(ctx, g) })
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	e.await(done, most+grace)
	return errors.Join(append(errs, dropErr)...)
}

// await waits as a part of the loop: for so long it counts as alive.
func (e *Engine) await(done <-chan struct{}, most time.Duration) {
	const each = 200 * time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	end := time.Now().Add(most)
	for {
		if time.Now().Before(end) {
			e.alive()
		}
		select {
		case <-done:
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
		groups = append(groups, resources.Group{Name: b.Resource, Resources: []resources.Resource{r}})
	}
	return groups
}

// cleanGroup stops the last first.
func (e *Engine) cleanGroup(ctx context.Context, g resources.Group) error {
	var errs []error
	for _, r := range slices.Backward(g.Resources) {
		d, err := e.driver(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		const glance = 10 * time.Second
		if d.gone(ctx, glance) == nil {
			continue
		}
		if err := d.stop(ctx, r.StopTimeout); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}
