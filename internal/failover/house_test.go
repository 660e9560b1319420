// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// house is one tenure in a world of its own, in a time of its own.
type house struct {
	*world
	*tenure
	t      *testing.T
	group  resources.Group
	cancel context.CancelFunc

	mu       sync.Mutex
	failures []failure
	marked   uint64
	wakes    map[string]func()
	leave    context.CancelFunc
}

// thingOf is a resource that starts after others.
func thingOf(name string, after ...string) resources.Resource {
	return resources.Resource{
		Name: name, Kind: "service", Group: "g", After: after, OnFailure: resources.OnFailureRestart, Threshold: 3,
		StartTimeout: 10 * time.Second, StopTimeout: 10 * time.Second,
		Monitors: []resources.Monitor{{Depth: 0, Interval: 10 * time.Second, Timeout: 5 * time.Second}, {Depth: 10, Interval: 30 * time.Second, Timeout: 5 * time.Second}},
	}
}

func kindOf(kind string, r resources.Resource) resources.Resource { r.Kind = kind; return r }

func onFailure(f resources.OnFailure, r resources.Resource) resources.Resource {
	r.OnFailure = f
	return r
}

// inHouse runs f on a tenure of the resources, which are told to end afterwards.
func inHouse(t *testing.T, f func(*house), all ...resources.Resource) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { houseOf(t, f, all...) })
}

func houseOf(t *testing.T, f func(*house), all ...resources.Resource) {
	w := newWorld()
	h := &house{world: w, t: t, group: resources.Group{Name: "g", FailureWindow: time.Hour, Resources: all}, wakes: map[string]func(){}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.cancel = cancel
	h.tenure = newTenure("g", 1, h.shape(h.group), slog.New(slog.DiscardHandler), h.tell, h.watch)
	h.tenure.lease, h.leave = context.WithCancel(ctx)
	go h.run(ctx)
	synctest.Wait()
	f(h)
	h.world.heal()
	h.tenure.order(order{end: true})
	select {
	case <-h.tenure.done:
	case <-time.After(time.Hour):
		t.Errorf("it did not end: %+v", h.standing())
	}
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
	for at := range w.things {
		t.Errorf("%v is left", at)
	}
}

func (h *house) shape(g resources.Group) shape {
	types := h.types("n1", nil)
	kinds := kindsOf(types)
	s := shape{window: g.FailureWindow, compare: func(a, b resources.Resource) change { return compare(a, b, kinds) }}
	for _, r := range g.Resources {
		i := slices.IndexFunc(types, func(t agents.Type) bool { return t.Name == r.Kind })
		s.parts = append(s.parts, part{driver: newDriver(r, types[i], agents.Env{}, make(chan struct{}, 1))})
	}
	return s
}

func (h *house) tell(n news) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.failure != nil {
		h.failures = append(h.failures, *n.failure)
	}
	h.marked = max(h.marked, n.marked)
}

func (h *house) watch(ctx context.Context, d *driver, _ time.Time, wake func()) {
	h.mu.Lock()
	h.wakes[d.resource.Name] = wake
	h.mu.Unlock()
	<-ctx.Done()
}

func (h *house) failed() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.failures {
		name := f.resource
		if f.fatal {
			name += "!"
		}
		names = append(names, name)
	}
	return names
}

func (h *house) pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func (h *house) view(name string) view {
	for _, v := range h.standing().views {
		if v.name == name {
			return v
		}
	}
	return view{condition: -1}
}

func (h *house) want(phase state.Phase, conditions map[string]condition) {
	h.t.Helper()
	synctest.Wait()
	if s := h.standing(); s.phase != phase {
		h.t.Errorf("phase %s, want %s: %+v", s.phase, phase, s)
	}
	for name, c := range conditions {
		if v := h.view(name); v.condition != c {
			h.t.Errorf("%s: condition %d, want %d: %+v", name, c, v.condition, v)
		}
	}
}

func (h *house) fail(name string) { h.on("n1", name, func(th *thing) { th.failed = true }) }
