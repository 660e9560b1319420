// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// states are what a heart sees of all.
func states(b beating) []State {
	var all []State
	for _, s := range b.View().Nodes {
		all = append(all, s.State)
	}
	return all
}

func wantStates(t *testing.T, b beating, want ...State) {
	t.Helper()
	if diff := cmp.Diff(want, states(b)); diff != "" {
		t.Errorf("%s sees (-want +got)\n%s", b.cfg.Node, diff)
	}
}

func TestAllAreHeard(t *testing.T) {
	cluster(t, 3, 2, func(h *hub, hearts []beating) {
		before := hearts[2].View().Ignored
		time.Sleep(10 * time.Second)
		wantStates(t, hearts[0], Unknown, Alive, Alive)
		v := hearts[2].View()
		if !v.Sound {
			t.Error("n3 hears nobody")
		}
		for why, n := range v.Ignored {
			if n > before[why] {
				t.Errorf("%d packets are ignored: %s", n, why)
			}
		}
		for _, s := range v.Nodes[:2] {
			if len(s.Paths) != 2 || s.Paths[0].Silent || s.Suspicions > 0 || s.Limit != 150*ms {
				t.Errorf("got %+v", s)
			}
		}
	})
}

// A node that dies is condemned by all that are left within its limit, and again
// welcome.
func TestDeath(t *testing.T) {
	cluster(t, 3, 2, func(h *hub, hearts []beating) {
		dead := func(e ends) bool { return of(e.local) == 2 || of(e.remote) == 2 }
		h.lose(dead)
		died := time.Now()
		for !hearts[0].see(2).Condemned {
			<-hearts[0].Changed()
		}
		if took := time.Since(died); took < 100*ms || took > 160*ms {
			t.Errorf("it took %s", took)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"n1", "n2"}, hearts[0].see(2).DeadTo); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		time.Sleep(5 * time.Second)
		for _, b := range hearts[:2] {
			if s := b.see(2); !s.Condemned || s.Suspicions != 1 || s.Withdrawn != 0 {
				t.Errorf("%s sees %+v", b.cfg.Node, s)
			}
		}
		if v := hearts[2].View(); v.Sound || v.Nodes[0].Condemned || v.Nodes[1].Condemned {
			t.Errorf("the one that is cut off finds %+v", v)
		}
		h.lose(nothing)
		time.Sleep(time.Second)
		wantStates(t, hearts[0], Unknown, Alive, Alive)
		if s := hearts[0].see(2); s.Condemned || s.Withdrawn != 1 || s.Limit != 150*ms {
			t.Errorf("it is back, and %+v", s)
		}
	})
}

func TestCutLinkCondemnsNobody(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		h.lose(func(e ends) bool { return of(e.local) != 2 && of(e.remote) != 2 })
		time.Sleep(time.Minute)
		wantStates(t, hearts[0], Unknown, Suspect, Alive)
		wantStates(t, hearts[1], Suspect, Unknown, Alive)
		wantStates(t, hearts[2], Alive, Alive, Unknown)
		for _, b := range hearts {
			for _, s := range b.View().Nodes {
				if s.Condemned {
					t.Errorf("%s has %s condemned by %s", b.cfg.Node, s.Node, s.DeadTo)
				}
			}
		}
	})
}

func TestMuteNodeLearnsThatItIsCondemned(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		h.lose(func(e ends) bool { return of(e.local) == 1 })
		time.Sleep(time.Second)
		if v := hearts[1].View(); !v.Nodes[1].Condemned || v.Sound {
			t.Errorf("it finds %+v", v)
		}
	})
}

// A network that is silent is told of, and nobody looks dead.
func TestSilentPath(t *testing.T) {
	cluster(t, 2, 2, func(h *hub, hearts []beating) {
		h.lose(func(e ends) bool { return e.local == address(1, 0) })
		time.Sleep(3 * time.Second)
		s := hearts[0].see(1)
		if s.State != Alive || !s.Paths[0].Silent || s.Paths[1].Silent {
			t.Errorf("got %+v", s)
		}
		if s := hearts[1].see(0); s.Paths[0].Silent || s.Paths[1].Silent {
			t.Errorf("the other way: %+v", s)
		}
		h.lose(nothing)
		time.Sleep(time.Second)
		if s := hearts[0].see(1); s.Paths[0].Silent || s.Suspicions != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// A lossy network raises the limit, which then ends the false alarms.
func TestLoss(t *testing.T) {
	cluster(t, 2, 1, func(h *hub, hearts []beating) {
		random := rand.New(rand.NewPCG(1, 2))
		h.lose(func(ends) bool { return random.IntN(100) < 30 })
		time.Sleep(2 * time.Minute)
		before := hearts[0].see(1)
		time.Sleep(8 * time.Minute)
		after := hearts[0].see(1)
		if after.Suspicions > before.Suspicions+1 {
			t.Errorf("%d suspicions in the first minutes, %d later", before.Suspicions, after.Suspicions)
		}
		if after.Limit <= 300*ms || after.Limit > time.Second {
			t.Errorf("limit %s", after.Limit)
		}
	})
}

func TestLeaving(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		hearts[2].stop()
		time.Sleep(10 * time.Second)
		for _, b := range hearts[:2] {
			if s := b.see(2); s.State != Unknown || s.Suspicions != 0 || s.Condemned {
				t.Errorf("%s sees %+v", b.cfg.Node, s)
			}
		}
	})
}

// A node that begins another life is unknown until it is heard in it.
func TestAnotherLife(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		nodes := slices.Clone(h.nodes)
		nodes[2].Life, nodes[2].Key = 999, public(77)
		for _, b := range hearts[:2] {
			b.Follow(nodes)
		}
		time.Sleep(10 * time.Second)
		wantStates(t, hearts[0], Unknown, Alive, Unknown) // the former one is no longer believed
		hearts[2].stop()
		h.nodes = nodes
		hearts[2] = h.heart(2, func(c *Config) { c.Key = key(77) })
		time.Sleep(time.Second)
		wantStates(t, hearts[0], Unknown, Alive, Alive)
		// Our own other life: whoever has not heard of it yet does not look dead.
		nodes = slices.Clone(nodes)
		nodes[0].Life = 1000
		hearts[0].Follow(nodes)
		time.Sleep(time.Second)
		wantStates(t, hearts[0], Unknown, Unknown, Unknown)
		hearts[1].Follow(nodes)
		hearts[2].Follow(nodes)
		time.Sleep(time.Second)
		wantStates(t, hearts[0], Unknown, Alive, Alive)
		if n := hearts[0].see(1).Suspicions; n != 0 {
			t.Errorf("%d suspicions", n)
		}
	})
}

// One node after the other gets another interval, and nobody cries.
func TestTune(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		slow := Timing{Interval: 700 * ms, Suspect: 3 * time.Second, SuspectMax: 5 * time.Second}
		for _, timing := range []Timing{slow, Defaults()} {
			for _, b := range hearts {
				if err := b.Tune(timing); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
			}
		}
		for _, b := range hearts {
			for _, s := range b.View().Nodes {
				if s.Suspicions > 0 {
					t.Errorf("%s sees %+v", b.cfg.Node, s)
				}
			}
		}
		if hearts[0].Tune(Timing{Interval: 50 * ms, Suspect: 140 * ms, SuspectMax: time.Second}) == nil {
			t.Error("less than three intervals")
		}
	})
}

// What was sent once, by whomever to whomever, is worth nothing a second time.
func TestReplays(t *testing.T) {
	cluster(t, 3, 2, func(h *hub, hearts []beating) {
		h.lose(func(e ends) bool { return of(e.local) == 2 })
		time.Sleep(time.Second)
		h.mu.Lock()
		taken := slices.Clone(h.taken)
		h.mu.Unlock()
		// A stranger sends all of it again, each in the name of each path of the dead one.
		for _, s := range taken {
			for network := range 2 {
				h.deliver(ends{address(2, network), address(0, network)}, s.b)
			}
		}
		// What the dead one had sent in its last second comes late: it was news.
		if s := hearts[0].see(2); s.State != Alive {
			t.Fatalf("got %+v", s)
		}
		time.Sleep(time.Second)
		for _, s := range taken {
			for network := range 2 {
				h.deliver(ends{address(2, network), address(0, network)}, s.b)
			}
		}
		if s := hearts[0].see(2); s.State != Suspect {
			t.Errorf("got %+v", s)
		}
		// A daemon that has just begun knows no sequence numbers, and believes none of it.
		fresh := h.nodes
		fresh[0].Life = 1000
		hearts[0].stop()
		hearts[0] = h.heart(0, nil)
		time.Sleep(time.Second)
		for _, s := range taken {
			h.deliver(ends{address(2, 0), address(0, 0)}, s.b)
		}
		if s := hearts[0].see(2); s.State != Unknown || hearts[0].View().Ignored[Unaware] == 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestIgnored(t *testing.T) {
	cluster(t, 2, 1, func(h *hub, hearts []beating) {
		way := ends{address(1, 0), address(0, 0)}
		valid := packet{life: 101, sequence: 1 << 60, sent: 1, interval: time.Second, of: []sight{{life: 100}}}
		change := func(f func(*packet)) packet { p := valid; f(&p); return p }
		mail := clusterID("mail")
		for why, b := range map[Reason][]byte{
			TooLong:      make([]byte, 5000),
			Malformed:    []byte("hello"),
			OtherVersion: append([]byte(magic+"\x02"), make([]byte, 200)...),
			OtherCluster: valid.encode(nil, clusterID("news"), key(1)),
			Stranger:     change(func(p *packet) { p.life = 5 }).encode(nil, mail, key(1)),
			Forged:       valid.encode(nil, mail, key(9)),
			Replayed:     change(func(p *packet) { p.sequence = 1 }).encode(nil, mail, key(1)),
			Unaware:      change(func(p *packet) { p.of = nil }).encode(nil, mail, key(1)),
		} {
			before := hearts[0].View()
			h.deliver(way, b)
			after := hearts[0].View()
			if n := after.Ignored[why] - before.Ignored[why]; n != 1 {
				t.Errorf("%s: %d counted", why, n)
			}
			if after.Nodes[1].Heard != before.Nodes[1].Heard {
				t.Errorf("%s: it was heard", why)
			}
		}
		// From elsewhere than it should come.
		before := hearts[0].View().Ignored[Stranger]
		h.deliver(ends{address(5, 0), address(0, 0)}, valid.encode(nil, mail, key(1)))
		if hearts[0].View().Ignored[Stranger] != before+1 {
			t.Error("a packet from elsewhere was not ignored")
		}
	})
}

// Packets that come late and overtake each other cost time, and nobody's life.
func TestDelays(t *testing.T) {
	cluster(t, 3, 1, func(h *hub, hearts []beating) {
		random := rand.New(rand.NewPCG(3, 4))
		h.mu.Lock()
		h.fate = func(ends) (time.Duration, bool) { return time.Duration(random.IntN(120)) * ms, false }
		h.mu.Unlock()
		time.Sleep(20 * time.Second)
		before := hearts[0].View()
		time.Sleep(40 * time.Second)
		after := hearts[0].View()
		for i, s := range after.Nodes {
			if s.Suspicions > before.Nodes[i].Suspicions || s.Limit > 500*ms {
				t.Errorf("got %+v", s)
			}
		}
		h.lose(func(e ends) bool { return of(e.local) == 2 })
		time.Sleep(Defaults().SuspectMax)
		if !hearts[0].see(2).Condemned {
			t.Errorf("got %+v", hearts[0].see(2))
		}
	})
}
