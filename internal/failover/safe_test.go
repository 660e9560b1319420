// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

func TestSafety(t *testing.T) {
	store, err := state.Open(nil, state.Options{Cluster: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	e := New(Config{Store: store, Cluster: &resources.Cluster{Lease: 10 * time.Second, Margin: 500 * time.Millisecond}})
	in := func(d time.Duration) func() clock.Time {
		at := store.Time().Now().Add(d)
		return func() clock.Time { return at }
	}
	left := []leftover{{dirty: map[string]bool{"mta": true}}}
	// The first look is at a node that has had no lease.
	for _, tt := range []struct {
		what string
		do   func(s *safety)
		want time.Duration
	}{
		{"nothing is known", func(*safety) {}, 0},
		{"something was left", func(s *safety) { s.find(left) }, 0},
		{"it is gone", func(s *safety) { s.prove(0) }, Forever},
		{"a lease", func(s *safety) { s.hold(in(9500 * time.Millisecond)) }, 10500 * time.Millisecond},
		{"what was left before it is gone", func(s *safety) { s.prove(0) }, 10500 * time.Millisecond},
		{"others' margin is shorter", func(*safety) {
			e.cluster.Store(&resources.Cluster{Margin: 300 * time.Millisecond})
		}, 10300 * time.Millisecond},
		{"others' margin is longer", func(*safety) { e.cluster.Store(&resources.Cluster{Margin: time.Second}) }, 10500 * time.Millisecond},
		{"it was lost, and not all is proved", func(s *safety) { s.hold(in(-2 * time.Second)) }, -time.Second},
		{"a look finds nothing, but something may be under way", func(s *safety) { s.find(nil) }, -time.Second},
		{"all is proved", func(s *safety) { s.prove(2) }, Forever},
		{"a look that took too long", func(s *safety) { s.find(left) }, Forever},
	} {
		tt.do(&e.safety)
		const since = 2 * time.Second // that the test may take
		if got := e.Safe(); got > tt.want || got < tt.want-since && tt.want != Forever || tt.want == Forever && got != Forever {
			t.Errorf("%s: safe for %s, want %s", tt.what, got, tt.want)
		}
	}
	// Stops without a lease have the same two margins.
	for margin, want := range map[time.Duration]time.Duration{
		300 * time.Millisecond: 720 * time.Millisecond, 500 * time.Millisecond: 900 * time.Millisecond, 3 * time.Second: 900 * time.Millisecond,
	} {
		e.cluster.Store(&resources.Cluster{Margin: margin})
		if got := e.hurry(); got != want {
			t.Errorf("others' margin is %s: stops may take %s, want %s", margin, got, want)
		}
	}
	var fresh safety
	if fresh.find(nil); !fresh.bare {
		t.Error("a node on which nothing was found is not safe")
	}
	e = New(Config{Store: store, Cluster: e.Config.Cluster, Empty: true})
	if e.safety.find(left); e.Safe() != Forever { // in a shorter time
		t.Errorf("a node that was proved to be bare is safe for %s", e.Safe())
	}
}

// A node that is switched off the moment that it is not safe any more never has
// something that is elsewhere already, and one that has let go need not be.
func safe(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	n := c.nodes["n1"]
	if s := n.Safe(); s <= 0 || s > lease+margin {
		c.t.Errorf("with a lease it is safe for %s", s)
	}
	forever := func(state.Snapshot) bool { return n.Safe() == Forever }
	n.wire.Hold()
	c.until("it has let go", forever)
	if len(c.where("vip"))+len(c.where("mta")) > 0 {
		c.t.Error("it has not let go")
	}
	c.on("n2", "mail", "vip", "mta")
	n.wire.Free()
	c.until("n1 is back", func(s state.Snapshot) bool { return s.Nodes["n1"].Session != 0 && n.Safe() < Forever })
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n1"})
	c.on("n1", "mail", "vip", "mta")

	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	stops := c.happened("n1", "vip", "stop")
	c.world.mu.Lock()
	c.fenced = func(node string) bool { return node == "n1" && n.Safe() <= 0 } // to the moment: until looks later
	c.world.mu.Unlock()
	n.wire.Hold()
	c.until("it is not safe any more", func(state.Snapshot) bool { return n.Safe() <= 0 })
	if c.happened("n1", "vip", "stop") != stops {
		c.t.Error("vip should be still here")
	}
	c.power("n1")
	c.on("n2", "mail", "vip", "mta")

	other := c.nodes["n2"]
	other.leave()
	if s := other.Safe(); s != Forever {
		c.t.Errorf("after an orderly end it is safe for %s", s)
	}
}
