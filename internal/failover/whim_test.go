// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mailha/mailha/internal/state"
)

// Whatever is ordered and whatever fails, a tenure comes to rest in what was ordered
// last, never goes round in circles, and ends with nothing left.
func TestTenureUnderWhims(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		names := []string{"fs", "a", "b", "c"}
		type deed struct {
			kind, name string
			last       time.Duration
		}
		deeds := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) deed {
			return deed{
				rapid.SampledFrom([]string{"fail", "stop", "run", "restart", "startfails", "stopfails", "heal", "slow", "panic", "hold", "forgive"}).Draw(r, "kind"),
				rapid.SampledFrom(names).Draw(r, "name"),
				time.Duration(rapid.IntRange(0, 20_000).Draw(r, "ms")) * time.Millisecond,
			}
		}), 1, 25).Draw(r, "deeds")
		synctest.Test(t, func(t *testing.T) {
			houseOf(t, func(h *house) {
				stopped := map[string]bool{}
				hold := false
				order1 := func() {
					now := hold
					h.mu.Lock()
					seen := len(h.failures)
					h.mu.Unlock()
					h.tenure.order(order{stopped: maps.Clone(stopped), left: map[string]bool{}, seen: seen, hold: &now})
				}
				for _, d := range deeds {
					switch d.kind {
					case "fail":
						h.fail(d.name)
					case "stop":
						stopped[d.name] = true
						order1()
					case "run":
						delete(stopped, d.name)
						order1()
					case "restart":
						h.tenure.order(order{restart: &restart{d.name, 1}})
					case "startfails":
						h.set("n1/"+d.name+"/start", fault{err: errors.New("no")})
					case "stopfails":
						h.set("n1/"+d.name+"/stop", fault{err: errors.New("no")})
					case "slow":
						h.set("n1/"+d.name+"/start", fault{last: 3 * time.Second})
					case "panic":
						h.set("n1/"+d.name+"/monitor", fault{panic: true})
					case "heal":
						h.heal()
					case "hold":
						hold = !hold
						order1()
					case "forgive":
						order1()
					}
					h.pass(d.last)
				}
				h.heal()
				hold = false
				order1()
				h.pass(time.Minute)
				order1() // what failed meanwhile is forgiven
				h.pass(2 * time.Minute)
				for _, name := range names {
					lies := name == "a" || name == "b" // on fs; b is started after a
					off := stopped[name] || lies && stopped["fs"] || name == "b" && stopped["a"] && h.view("b").condition == down
					want := up
					if off {
						want = down
					}
					if v := h.view(name); v.condition != want {
						t.Errorf("%s: %+v, stopped %v, deeds %+v", name, v, slices.Collect(maps.Keys(stopped)), deeds)
					}
				}
				h.want(state.Running, nil)
				if n := len(h.story); n > 60*(len(deeds)+5) {
					t.Errorf("%d operations", n)
				}
			}, kindOf("filesystem", thingOf("fs")), thingOf("a", "fs"), thingOf("b", "a", "fs"), thingOf("c"))
		})
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}
