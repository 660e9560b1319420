// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/state"
)

// report tells the others how the resources are here. Nothing depends on it.
func (e *Engine) report(ctx context.Context, session *state.Session) {
	boards, _ := agents.Statuses(e.StateDir) // what cannot be read is not shown
	shown := map[string]agents.Status{}
	for _, b := range boards {
		shown[b.Resource] = b
	}
	var r state.Report
	add := func(t *tenure) {
		for _, v := range t.views() {
			r.Resources = append(r.Resources, v.report(t.group.Name, shown[v.name]))
		}
	}
	for _, o := range e.owned {
		if o.tenure != nil {
			add(o.tenure)
		}
	}
	for name, t := range e.standby {
		if o := e.owned[name]; o == nil || o.tenure == nil { // told with the group
			add(t)
		}
	}
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := session.Report(ctx, r); err != nil {
		e.Log.Debug("no report", "error", err)
	}
}

// view is what a tenure shows of a resource.
type view struct {
	name, kind string
	condition  condition
	doing      string
	degraded   bool
	detail     string
	since      time.Time
	failures   int
}

func (v view) report(group string, b agents.Status) state.ResourceReport {
	r := state.ResourceReport{Name: v.name, Group: group, Kind: v.kind, Since: v.since, Detail: v.detail, Failures: v.failures}
	for _, a := range b.Addresses {
		r.Addresses = append(r.Addresses, a.String())
	}
	switch {
	case v.condition == working && v.doing == "start":
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
