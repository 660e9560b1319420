// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

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

// The kernel takes addresses away shortly before a lease ends: nothing has failed then, and
// nothing is stopped for it or put up, before it is known whether the lease goes on.
func TestAddressesThatGoBeforeTheLeaseEndsHaveNotFailed(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		var firm atomic.Bool
		h.tenure.valid = firm.Load
		h.set("n1/a/monitor", fault{err: fmt.Errorf("10.0.0.1: %w", vip.ErrNotHeld), once: true})
		h.pass(15 * time.Second) // more than the interval of the monitor
		h.want(state.Running, map[string]condition{"a": ailing})
		firm.Store(true)
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": up})
		if failed, stops := h.failed(), h.happened("n1", "a", "stop"); len(failed)+stops != 0 {
			t.Errorf("failures %v, %d stops", failed, stops)
		}
	}, thingOf("a"))
}

// What could not be started before the lease had almost ended is started when it goes on.
func TestStartWaitsForALeaseThatLasts(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		var firm atomic.Bool
		h.tenure.valid = firm.Load
		h.tenure.order(order{restart: &restart{resource: "a", serial: 1}})
		h.pass(15 * time.Second)
		h.want(state.Running, map[string]condition{"a": down})
		firm.Store(true)
		h.pass(time.Second)
		h.want(state.Running, map[string]condition{"a": up})
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

// Only what has just been let go elsewhere is asked for briefly: not what is started
// again later.
func TestFormerOwnersProofIsForTheFirstStart(t *testing.T) {
	inHouse(t, func(h *house) {
		h.pass(time.Second)
		if n := h.world.freed.Load(); n != 0 {
			t.Errorf("%d starts relied on a proof that there was not", n)
		}
	}, thingOf("a"))
	inHouse(t, func(h *house) {
		u := newTenure("g", 1, h.shape(h.group), h.log, h.tell, h.tenure.watch)
		u.freed, u.lease = true, h.lease
		h.tenure.order(order{end: true})
		h.pass(time.Second)
		go u.run(h.lease)
		h.pass(time.Second)
		h.fail("a")
		h.pass(11 * time.Second)
		u.order(order{end: true})
		<-u.done
		if n, all := h.world.freed.Load(), h.happened("n1", "a", "start"); n != 1 || all != 3 {
			t.Errorf("%d of %d starts relied on the proof, want the first of the second tenure", n, all)
		}
	}, thingOf("a"))
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
