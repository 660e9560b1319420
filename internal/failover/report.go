// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/state"
)

// reporter tells the others how the resources are here, one report at a time and
// beside the loop. Nothing depends on it.
type reporter struct {
	last state.Report
	busy chan struct{} // holds a token while a report is on its way
	lost chan struct{} // holds a token if the last one did not arrive
}

func newReporter() *reporter {
	return &reporter{busy: make(chan struct{}, 1), lost: make(chan struct{}, 1)}
}

// report is skipped as long as the one before is on its way, or when there is nothing new.
func (r *reporter) report(session *state.Session, now state.Report) {
	select {
	case r.busy <- struct{}{}:
	default:
		return
	}
	select {
	case <-r.lost:
		r.last = state.Report{}
	default:
	}
	if reflect.DeepEqual(now, r.last) {
		<-r.busy
		return
	}
	r.last = now
	go func() {
		defer func() { <-r.busy }()
		const patience = time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if session.Report(ctx, now) != nil { // the loop knows about etcd by itself
			r.lost <- struct{}{}
		}
	}()
}

// wait returns when no report is on its way.
func (r *reporter) wait() { r.busy <- struct{}{} }

// account says how all resources are here.
func (e *Engine) account() state.Report {
	boards, _ := agents.Statuses(e.StateDir) // what cannot be read is not shown
	shown := map[string]agents.Status{}
	for _, b := range boards {
		shown[b.Resource] = b
	}
	var r state.Report
	seen := map[string]bool{}
	add := func(t *tenure) {
		for _, v := range t.standing().views {
			if !seen[v.name] { // told with the group, if that is here
				seen[v.name] = true
				r.Resources = append(r.Resources, v.report(t.name, shown[v.name]))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.owned)) {
		add(e.owned[name].tenure)
	}
	for _, name := range slices.Sorted(maps.Keys(e.standby)) {
		add(e.standby[name].tenure)
	}
	e.report.Store(&r)
	return r
}

// view is what a tenure shows of a resource.
type view struct {
	name, kind string
	role       role
	condition  condition
	doing      doing
	degraded   bool
	detail     string
	since      time.Time
	failures   int
	restarted  int64
}

func (v view) report(group string, b agents.Status) state.ResourceReport {
	r := state.ResourceReport{Name: v.name, Group: group, Kind: v.kind, Since: v.since, Detail: v.detail, Failures: v.failures}
	for _, a := range b.Addresses {
		r.Addresses = append(r.Addresses, a.String())
	}
	switch {
	case v.condition == working && (v.doing == starting || v.doing == reloading):
		r.Phase = state.ResourceStarting
	case v.condition == working && b.Phase == agents.Draining:
		r.Phase, r.Sessions, r.Work, r.Left = state.ResourceDraining, b.Sessions, b.Work, max(0, time.Until(b.Deadline))
	case v.condition == working:
		r.Phase = state.ResourceStopping
	case v.condition == up && v.degraded:
		r.Phase = state.ResourceDegraded
	case v.condition == up:
		r.Phase = state.ResourceStarted
	case v.condition == ailing, v.condition == stuck, v.condition == down && v.detail != "":
		r.Phase = state.ResourceFailed
	default:
		r.Phase = state.ResourceStopped
	}
	return r
}
