// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

func (h *house) watch(ctx context.Context, d *driver, wake func()) {
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

func TestStartsAndStopsInOrder(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"fs": up, "a": up, "b": up, "c": up})
		at := func(name string) time.Time {
			for _, e := range h.story {
				if e.resource == name {
					return e.at
				}
			}
			return time.Time{}
		}
		if !at("a").Equal(at("b")) || !at("a").After(at("fs")) || !at("c").After(at("b")) {
			t.Errorf("%+v", h.story)
		}
		h.story = nil
		h.tenure.order(order{end: true})
		h.pass(time.Second)
		if got := h.world.order(); got != "stop c, stop a, stop b, stop fs" && got != "stop c, stop b, stop a, stop fs" && got != "stop a, stop c, stop b, stop fs" {
			t.Error(got)
		}
		if !h.standing().over {
			t.Error("it is not over")
		}
	}, kindOf("filesystem", thingOf("fs")), thingOf("a", "fs"), thingOf("b", "fs"), thingOf("c", "b", "fs"))
}

func TestRestartsOnTheSpot(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		for i := 1; i <= 2; i++ {
			h.fail("a")
			h.pass(11 * time.Second)
			h.want(state.Running, map[string]condition{"a": up, "b": up})
			if len(h.failed()) != i || h.happened("n1", "b", "start") != 1 {
				t.Errorf("%v, %+v", h.failed(), h.story)
			}
		}
		h.fail("a")
		h.pass(11 * time.Second)
		h.want(state.Running, map[string]condition{"a": down, "b": up})
		// A plan that knows only of two failures does not start it again; one that knows of all does.
		h.tenure.order(order{left: map[string]bool{}, seen: 2})
		h.pass(time.Minute)
		h.want(state.Running, map[string]condition{"a": down})
		h.tenure.order(order{left: map[string]bool{}, seen: 3})
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": up})
	}, thingOf("a"), thingOf("b", "a"))
}

func TestWhatAFailureLeadsTo(t *testing.T) {
	for _, tt := range []struct {
		on   resources.OnFailure
		told string
		then condition
	}{
		{resources.OnFailureRestart, "a", up},
		{resources.OnFailureMove, "a!", down},
		{resources.OnFailureStop, "a!", down},
		{resources.OnFailureIgnore, "", up},
	} {
		t.Run(string(tt.on), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.pass(time.Second)
				h.fail("a")
				h.pass(11 * time.Second)
				h.want(state.Running, map[string]condition{"a": tt.then})
				if got := strings.Join(h.failed(), " "); got != tt.told {
					t.Errorf("told %q, want %q", got, tt.told)
				}
				if tt.on != resources.OnFailureIgnore {
					return
				}
				if v := h.view("a"); !v.degraded || h.happened("n1", "a", "start") != 1 {
					t.Errorf("%+v", v)
				}
				h.on("n1", "a", func(th *thing) { th.failed = false }) // somebody has mended it
				h.pass(31 * time.Second)
				if v := h.view("a"); v.degraded {
					t.Errorf("still %+v", v)
				}
			}, onFailure(tt.on, thingOf("a")))
		})
	}
}

func TestFileSystemTakesWhatLiesOnItAlong(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.story = nil
		h.fail("fs")
		h.pass(11 * time.Second)
		h.want(state.Running, map[string]condition{"fs": up, "a": up, "b": up})
		if got := h.world.order(); got != "stop a, stop fs, start fs, start a" {
			t.Error(got)
		}
	}, kindOf("filesystem", thingOf("fs")), thingOf("a", "fs"), thingOf("b"))
}

func TestStopDuringStart(t *testing.T) {
	inHouse(t, func(h *house) {
		h.tenure.order(order{end: true})
		h.pass(100 * time.Millisecond)
		if !h.standing().over || len(h.failed()) > 0 {
			t.Errorf("%+v, %v", h.standing(), h.failed())
		}
	}, thingOf("slow"))
	synctest.Test(t, func(t *testing.T) {
		houseOf(t, func(h *house) {
			h.pass(time.Second)
			h.set("n1/a/start", fault{last: 9 * time.Second})
			h.tenure.order(order{restart: &restart{resource: "a", serial: 1}})
			h.pass(time.Second)
			h.want(state.Running, map[string]condition{"a": working})
			h.tenure.order(order{end: true})
			h.pass(time.Second)
			if !h.standing().over || len(h.failed()) > 0 {
				t.Errorf("%+v, %v", h.standing(), h.failed())
			}
		}, thingOf("a"))
	})
}

func TestStopThatFailsIsTriedAgain(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/stop", fault{err: errors.New("it does not go")})
		h.tenure.order(order{end: true})
		h.pass(time.Minute)
		h.want(state.Failed, map[string]condition{"a": stuck, "fs": up})
		if why := h.standing().why; !strings.Contains(why, "a could not be stopped: it does not go") {
			t.Error(why)
		}
		h.heal()
		h.pass(3 * time.Second)
		if !h.standing().over {
			t.Errorf("%+v", h.standing())
		}
	}, kindOf("filesystem", thingOf("fs")), thingOf("a", "fs"))
}

// A group of which one thing cannot be stopped is well again once that can be.
func TestFailedIsNotForEver(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/stop", fault{err: errors.New("it does not go")})
		h.fail("a")
		h.pass(12 * time.Second)
		h.want(state.Failed, map[string]condition{"a": stuck, "b": up})
		h.heal()
		h.pass(3 * time.Second)
		h.want(state.Running, map[string]condition{"a": up, "b": up})
	}, thingOf("a"), thingOf("b"))
}

func TestHurryCutsAnOrderlyStop(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/stop", fault{last: 9 * time.Second})
		h.tenure.order(order{end: true})
		h.pass(time.Second)
		h.set("n1/a/stop", fault{last: 100 * time.Millisecond})
		h.tenure.order(order{end: true, hurry: time.Second})
		h.pass(time.Second)
		if !h.standing().over {
			t.Errorf("%+v", h.standing())
		}
	}, thingOf("a"))
	inHouse(t, func(h *house) { // and does not go round in circles
		h.pass(time.Second)
		h.set("n1/a/stop", fault{err: errors.New("no")})
		h.tenure.order(order{end: true, hurry: time.Second})
		h.pass(10 * time.Second)
		h.want(state.Failed, nil)
	}, thingOf("a"))
}

func TestPanicIsAFailure(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/monitor", fault{panic: true})
		h.pass(11 * time.Second)
		h.heal()
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": up, "b": up})
		if len(h.failed()) != 1 {
			t.Error(h.failed())
		}
	}, thingOf("a"), thingOf("b"))
}

// Nothing is proved while an operation hangs, and the others go on.
func TestHangingMonitorHoldsNobodyElseUp(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/monitor", fault{hang: true})
		h.pass(11 * time.Second)
		h.tenure.order(order{end: true})
		h.pass(time.Minute)
		h.want(state.Failed, map[string]condition{"b": down})
	}, thingOf("a"), thingOf("b"))
}

func TestStartThatFailsIsNotTriedAgainHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		houseOf(t, func(h *house) {
			h.pass(time.Second)
			h.set("n1/a/start", fault{err: errors.New("no licence")})
			h.fail("a")
			h.pass(time.Minute)
			h.want(state.Running, map[string]condition{"a": down, "b": up})
			if got := strings.Join(h.failed(), " "); got != "a a!" {
				t.Error(got)
			}
			if v := h.view("a"); v.detail != "no licence" {
				t.Errorf("%+v", v)
			}
			h.heal()
			h.tenure.order(order{restart: &restart{resource: "a", serial: 1}})
			h.pass(time.Second)
			h.want(state.Running, map[string]condition{"a": up})
		}, thingOf("a"), thingOf("b"))
	})
}

func TestOperatorStopsAndRestartsOne(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.story = nil
		h.tenure.order(order{stopped: map[string]bool{"a": true}})
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": down, "b": up})
		h.tenure.order(order{stopped: map[string]bool{}})
		h.pass(time.Second)
		h.tenure.order(order{restart: &restart{resource: "b", serial: 1}})
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": up, "b": up})
		if got := h.world.order(); got != "stop a, start a, stop b, start b" {
			t.Error(got)
		}
	}, thingOf("a"), thingOf("b", "a"))
}

func TestDegradedIsTold(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.on("n1", "a", func(th *thing) { th.unwell = true })
		h.pass(11 * time.Second)
		if v := h.view("a"); !v.degraded || !strings.Contains(v.detail, "limps") || v.condition != up {
			t.Errorf("%+v", v)
		}
		h.on("n1", "a", func(th *thing) { th.unwell = false })
		h.pass(11 * time.Second) // a shallow look does not take back
		h.pass(31 * time.Second)
		if v := h.view("a"); v.degraded {
			t.Errorf("%+v", v)
		}
	}, thingOf("a"))
}

func TestMaintenanceOnlyTells(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		yes, no := true, false
		h.tenure.order(order{hold: &yes})
		h.fail("a")
		h.pass(time.Minute)
		if v := h.view("a"); !v.degraded || v.condition != up || h.happened("n1", "a", "start") != 1 {
			t.Errorf("%+v", v)
		}
		if n := h.happened("n1", "a", "stop"); n != 0 || len(h.failed()) != 0 {
			t.Errorf("%d stops, %v", n, h.failed())
		}
		h.tenure.order(order{hold: &no})
		h.pass(11 * time.Second)
		h.want(state.Running, map[string]condition{"a": up})
		if h.happened("n1", "a", "start") != 2 {
			t.Error("it was not recovered afterwards")
		}
	}, thingOf("a"))
}

func TestEventsBringALookForward(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.fail("a")
		h.mu.Lock()
		wake := h.wakes["a"]
		h.mu.Unlock()
		wake()
		h.pass(20 * time.Millisecond)
		if len(h.failed()) != 1 {
			t.Error("it was not noticed")
		}
		h.want(state.Running, map[string]condition{"a": up})
	}, thingOf("a"))
}

func TestGreaterEpochIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		houseOf(t, func(h *house) {
			h.pass(time.Second)
			h.set("n1/a/start", fault{err: fmt.Errorf("mark: %w", &agents.EpochError{Own: 1, Marked: 7, Node: "n9"})})
			h.tenure.order(order{restart: &restart{resource: "a", serial: 1}})
			h.pass(time.Minute)
			h.want(state.Running, map[string]condition{"a": down})
			if h.marked != 7 || len(h.failed()) > 0 {
				t.Errorf("marked %d, %v", h.marked, h.failed())
			}
			h.heal()
			h.tenure.order(order{epoch: 8})
			h.pass(time.Second)
			h.want(state.Running, map[string]condition{"a": up})
			h.on("n1", "a", func(th *thing) {
				if th.epoch != 8 {
					t.Errorf("epoch %d", th.epoch)
				}
			})
		}, thingOf("a"))
	})
}

func TestNothingStartsWithoutALease(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		h.set("n1/a/start", fault{last: 5 * time.Second})
		h.tenure.order(order{restart: &restart{resource: "a", serial: 1}})
		h.pass(time.Second)
		h.tenure.valid = func() bool { return false }
		h.leave()
		h.pass(20 * time.Second)
		h.want(state.Running, map[string]condition{"a": down})
		if len(h.things) != 0 {
			t.Errorf("%v", h.things)
		}
	}, thingOf("a"))
}

func TestReload(t *testing.T) {
	base := func() []resources.Resource {
		return []resources.Resource{thingOf("a"), thingOf("b", "a"), thingOf("c")}
	}
	params := func(r resources.Resource, name, value string) resources.Resource {
		r.Params = map[string]string{name: value}
		return r
	}
	for _, tt := range []struct {
		name string
		to   func([]resources.Resource) []resources.Resource
		want string
	}{
		{"nothing", func(r []resources.Resource) []resources.Resource { return r }, ""},
		{"soft", func(r []resources.Resource) []resources.Resource { r[0] = params(r[0], "soft", "x"); return r }, "reload a"},
		{"hard", func(r []resources.Resource) []resources.Resource { r[0] = params(r[0], "hard", "x"); return r }, "stop a, start a"},
		{"kind", func(r []resources.Resource) []resources.Resource { r[2] = kindOf("mta", r[2]); return r }, "stop c, start c"},
		{"removed", func(r []resources.Resource) []resources.Resource { return r[:2] }, "stop c"},
		{"new", func(r []resources.Resource) []resources.Resource { return append(r, thingOf("d", "a")) }, "start d"},
		{"times", func(r []resources.Resource) []resources.Resource {
			r[0].Monitors = []resources.Monitor{{Interval: time.Second, Timeout: time.Second}}
			r[0].StopTimeout = time.Minute
			return r
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.pass(time.Second)
				h.story = nil
				g := h.group
				g.Resources = tt.to(slices.Clone(g.Resources))
				s := h.shape(g)
				h.tenure.order(order{shape: &s})
				h.pass(time.Second)
				if got := h.world.order(); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				all := map[string]condition{}
				for _, r := range g.Resources {
					all[r.Name] = up
				}
				h.want(state.Running, all)
				if n := len(h.standing().views); n != len(g.Resources) {
					t.Errorf("%d resources: %+v", n, h.standing().views)
				}
				h.fail("a") // the watch goes by the new file
				h.pass(11 * time.Second)
				h.want(state.Running, all)
				if len(h.failed()) != 1 {
					t.Error(h.failed())
				}
			}, base()...)
		})
	}
}
