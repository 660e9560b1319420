// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

func TestHold(t *testing.T) {
	cluster(t, 3, 2, func(h *hub, hearts []beating) {
		if got := hearts[0].HeldUntil(); got != 0 {
			t.Fatalf("held until %d without a question", got)
		}
		hearts[0].Ask(true)
		asked := time.Now()
		for hearts[0].HeldUntil() == 0 {
			time.Sleep(ms)
		}
		if took := time.Since(asked); took > 60*ms {
			t.Errorf("it took %s", took)
		}
		for range 100 {
			time.Sleep(37 * ms)
			now, until := hearts[0].clock.Now(), hearts[0].HeldUntil()
			if until.Sub(now) < 9800*ms {
				t.Fatalf("held for %s", until.Sub(now))
			}
			for _, b := range hearts[1:] {
				if promised := b.PromisedUntil("n1"); !until.Before(promised) {
					t.Fatalf("held until %d, promised by %s until %d", until, b.cfg.Node, promised)
				}
			}
		}
		if hearts[1].PromisedUntil("n3") != 0 || hearts[0].PromisedUntil("n2") != 0 {
			t.Error("promised to those who do not ask")
		}
		// One that is cut off promises nothing more.
		h.lose(func(e ends) bool { return of(e.local) == 1 })
		until := hearts[0].HeldUntil()
		time.Sleep(time.Second)
		if got := hearts[0].HeldUntil(); got.Sub(until) > 60*ms { // what was on its way
			t.Errorf("held %s longer", got.Sub(until))
		}
		h.lose(nothing)
		time.Sleep(time.Second)
		hearts[0].Ask(false)
		time.Sleep(time.Second)
		until = hearts[0].HeldUntil()
		time.Sleep(5 * time.Second)
		if got := hearts[0].HeldUntil(); got != until {
			t.Errorf("held until %d and then %d without a question", until, got)
		}
	})
}

// Who is told again and again what he knows says no more than usual.
func TestAskAgain(t *testing.T) {
	cluster(t, 2, 1, func(h *hub, hearts []beating) {
		count := func() int { h.mu.Lock(); defer h.mu.Unlock(); return len(h.taken) }
		before := count()
		for range 1000 {
			hearts[0].Ask(false)
			if err := hearts[0].Tune(Defaults()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(ms)
		}
		if n := count() - before; n > 42 {
			t.Errorf("%d packets in a second", n)
		}
	})
}

// Whoever is not there, has not agreed or has begun another life has promised nothing.
func TestHoldNeedsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, 3, 1)
		h.nodes = append(h.nodes, Node{Name: "n4", Addresses: h.nodes[0].Addresses})
		var agrees atomic.Bool
		hearts := []beating{h.heart(0, nil), h.heart(1, nil), h.heart(2, func(c *Config) {
			c.Agree = func(string) bool { return agrees.Load() }
		})}
		hearts[0].Ask(true)
		time.Sleep(time.Second)
		if got := hearts[0].HeldUntil(); got != 0 {
			t.Errorf("held until %d, and n4 is not there", got)
		}
		for _, b := range hearts {
			b.Follow(h.nodes[:3])
		}
		time.Sleep(time.Second)
		if got := hearts[0].HeldUntil(); got != 0 || hearts[2].PromisedUntil("n1") != 0 {
			t.Errorf("held until %d, and n3 does not agree", got)
		}
		agrees.Store(true)
		time.Sleep(time.Second)
		until := hearts[0].HeldUntil()
		if until == 0 {
			t.Error("all agree, and nothing is held")
		}
		agrees.Store(false)
		time.Sleep(time.Second)
		if got, promised := hearts[0].HeldUntil(), hearts[2].PromisedUntil("n1"); got.Before(until) || !got.Before(promised) {
			t.Errorf("what was promised until %d is held until %d", promised, got)
		}
		nodes := append([]Node(nil), h.nodes[:3]...)
		nodes[2].Life = 1000
		hearts[0].Follow(nodes)
		if got := hearts[0].HeldUntil(); got != 0 {
			t.Errorf("held until %d by a promise of a former life", got)
		}
		// The promise outlives the roster.
		hearts[2].Follow(h.nodes[2:3])
		if hearts[2].PromisedUntil("n1") == 0 {
			t.Error("forgotten")
		}
		for _, b := range hearts {
			b.stop()
		}
	})
}

// Whatever the network does to packets, and whenever who agrees: the asker's end is
// before the promiser's.
func TestHoldEndsBeforeItsPromise(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			h := newHub(t, 3, 2)
			h.fate = func(ends) (time.Duration, bool) {
				return time.Duration(random.ExpFloat64() * float64(60*ms)), random.IntN(100) < 40
			}
			var moods [3]atomic.Bool
			var hearts []beating
			for i := range 3 {
				hearts = append(hearts, h.heart(i, func(c *Config) {
					c.Promise = 400 * ms
					c.Agree = func(string) bool { return moods[i].Load() }
				}))
			}
			held := 0
			for range 1000 {
				time.Sleep(time.Duration(random.IntN(30)) * ms)
				hearts[random.IntN(3)].Ask(random.IntN(3) > 0)
				moods[random.IntN(3)].Store(random.IntN(4) > 0)
				for i, asker := range hearts {
					until := asker.HeldUntil()
					if !asker.clock.Now().Before(until) {
						continue
					}
					held++
					for k, b := range hearts {
						if k != i && !until.Before(b.PromisedUntil(name(i))) {
							t.Fatalf("%s holds until %d, %s has promised until %d", name(i), until, name(k), b.PromisedUntil(name(i)))
						}
					}
				}
			}
			if held == 0 {
				t.Error("nobody ever held anything")
			}
			for _, b := range hearts {
				b.stop()
			}
		})
	}
}

// While one is asked, what may be promised stands already, and what had been promised
// before stays.
func TestPromiseStandsWhileAsked(t *testing.T) {
	p := promises{until: map[string]clock.Time{}}
	now := clock.Time(time.Hour)
	end := now.Add(10*time.Second + 100*ms)
	p.answer("n1", now, 10*time.Second, func(node string) bool {
		if p.get(node) != end {
			t.Errorf("promised until %d while asked", p.get(node))
		}
		return true
	})
	if p.answer("n1", now.Add(time.Second), 10*time.Second, func(string) bool { return false }) || p.get("n1") != end {
		t.Errorf("promised until %d after a no", p.get("n1"))
	}
	p.answer("n1", now.Add(time.Second), time.Second, func(string) bool { return true })
	if p.get("n1") != end {
		t.Errorf("a shorter promise ended a longer one: %d", p.get("n1"))
	}
}
