// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/state"
)

func powerCut(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.power("n1")
	gone := c.until("n1 is gone", func(s state.Snapshot) bool { _, is := s.Nodes["n1"]; return !is }) // when etcd says so
	took := c.on("n2", "mail", "vip", "mta")
	const noise = 2 * time.Second // of a busy machine; less than 0.1 s on an idle one
	if took > margin+noise || gone+took < lease/2 {
		c.t.Errorf("taken over %s after n1 was gone, which took %s", took, gone)
	}
	c.t.Logf("taken over %s after n1 was gone, which took %s", took, gone)
}

func daemonKilled(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	n := c.nodes["n1"]
	n.kill()
	if len(c.where("vip")) != 1 {
		c.t.Error("nothing should have happened yet")
	}
	time.Sleep(100 * time.Millisecond)
	n.run()
	c.until("it was cleaned up", func(state.Snapshot) bool { return c.happened("n1", "vip", "stop") == 1 })
	c.until("it runs again", func(s state.Snapshot) bool {
		return c.happened("n1", "vip", "start") == 2 && s.Groups["mail"].Phase == state.Running && s.Groups["mail"].Epoch == 2
	})
}

// What a daemon that was killed has left, and the next one cannot stop, keeps others
// from starting it: for as long as that one is there, and when it is gone as well.
func leftAndStuck(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	n := c.nodes["n1"]
	n.kill()
	n.run()
	c.until("it is told", func(s state.Snapshot) bool {
		g := s.Groups["mail"]
		return g.Owner == "n1" && g.Phase == state.Failed && strings.Contains(g.Why, "vip could not be stopped: it does not go")
	})
	if len(c.where("mta")) != 0 {
		c.t.Error("what could be stopped was not")
	}
	const more = 500 * time.Millisecond
	time.Sleep(lease + margin + more)
	n.kill()
	time.Sleep(lease + margin + more)
	if len(c.where("vip")) != 1 || c.happened("n2", "vip", "start")+c.happened("n3", "vip", "start") > 0 {
		c.t.Error("vip is elsewhere")
	}
	// The next one has not found out yet that it cannot be stopped.
	c.set("n1/vip/stop", fault{last: time.Minute})
	former := c.snapshot().Groups["mail"].Session
	n.run()
	c.until("it is adopted", func(s state.Snapshot) bool { return s.Groups["mail"].Session != former })
	n.kill()
	time.Sleep(lease + margin + more)
	if len(c.where("vip")) != 1 || c.happened("n2", "vip", "start")+c.happened("n3", "vip", "start") > 0 {
		c.t.Error("vip is elsewhere after the daemon was started once more")
	}
	n.run()
	c.heal()
	c.until("it runs again", func(s state.Snapshot) bool {
		return len(c.where("vip")) == 1 && len(c.where("mta")) == 1 && s.Groups["mail"].Phase == state.Running
	})
}

// A daemon whose own file has what is left here in another group stops it under that name.
// It stays with the group that the cluster's file has it in until it is gone.
func leftAndUnlisted(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	n := c.nodes["n1"]
	c.load("second", c.file(mail())) // the cluster has its own
	n.kill()
	c.mu.Lock()
	other := mail()
	other.Name = "other"
	c.files["bare"] = c.file(other)
	c.mu.Unlock()
	c.ask(state.Wish{Kind: state.Standby, Node: "n1"}) // or it would be the first to take it again
	n.file = "bare"
	n.run()
	c.until("it takes part", func(s state.Snapshot) bool {
		_, present := s.Nodes["n1"]
		return present && n.Snapshot().Config.Rev >= s.Config.Rev
	})
	const more = 500 * time.Millisecond
	time.Sleep(lease + margin + more)
	if c.happened("n2", "vip", "start")+c.happened("n3", "vip", "start") > 0 {
		c.t.Error("vip is elsewhere")
	}
	c.heal()
	c.until("it runs again", func(s state.Snapshot) bool {
		return len(c.where("vip")) == 1 && len(c.where("mta")) == 1 && s.Groups["mail"].Phase == state.Running && s.Groups["mail"].Owner != "n1"
	})
}

// A restore has forgotten who owned what. What a node still has and cannot stop is its
// own all the same, and nothing starts before it could say so.
func leftAndRestored(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	n := c.nodes["n1"]
	n.kill()
	for _, name := range []string{"n1", "n2", "n3"} {
		c.ask(state.Wish{Kind: state.Hear, Node: name})
	}
	c.until("those that are here were heard", func(s state.Snapshot) bool {
		_, present := s.Nodes["n1"]
		return !present && slices.Equal(s.Unheard(), []string{"n1"})
	})
	if _, err := c.store.Release(c.t.Context(), c.snapshot().Groups["mail"], "root"); err != nil {
		c.t.Fatal(err)
	}
	const more = 500 * time.Millisecond
	time.Sleep(lease + margin + more)
	if c.happened("n2", "vip", "start")+c.happened("n3", "vip", "start") > 0 {
		c.t.Error("vip is elsewhere")
	}
	n.run()
	c.until("n1 has told", func(s state.Snapshot) bool {
		g := s.Groups["mail"]
		return len(s.Unheard()) == 0 && g.Owner == "n1" && g.Phase == state.Failed
	})
	c.heal()
	c.until("it runs again", func(s state.Snapshot) bool {
		return len(c.where("vip")) == 1 && len(c.where("mta")) == 1 && s.Groups["mail"].Phase == state.Running
	})
}

// What is here and nobody's is this node's to stop, before anybody starts it.
func leftAndFree(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	stop := c.ask(state.Wish{Kind: state.StopGroup, Group: "mail"})
	c.until("it is free", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Free })
	n := c.nodes["n3"]
	n.leave()
	c.begin("n3", "vip", 1, nil, false)
	c.set("n3/vip/stop", fault{err: errors.New("it does not go")})
	n.run()
	c.until("it is told", func(s state.Snapshot) bool {
		return s.Groups["mail"].Owner == "n3" && s.Groups["mail"].Phase == state.Failed
	})
	c.takeBack(stop)
	time.Sleep(time.Second)
	if c.happened("n1", "vip", "start") != 1 {
		c.t.Error("vip is elsewhere")
	}
	c.heal()
	c.on("n1", "mail", "vip", "mta")
}

func leaseLost(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/mta/stop", fault{last: 100 * time.Millisecond})
	n := c.nodes["n1"]
	n.wire.Hold()
	c.until("it let go", func(state.Snapshot) bool { return len(c.where("vip")) == 0 })
	if c.happened("n1", "", "drop") == 0 {
		c.t.Error("addresses were not dropped")
	}
	took := c.on("n2", "mail", "vip", "mta")
	c.t.Logf("taken over %s after it had let go", took)
	if s := n.Snapshot(); s.Stale == nil {
		c.t.Errorf("a node without a lease takes what it knows for fresh: revision %d", s.Revision)
	}
	n.wire.Free()
	c.until("n1 is back", func(s state.Snapshot) bool { return s.Nodes["n1"].Session != 0 && n.Snapshot().Stale == nil })
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n1"})
	c.on("n1", "mail", "vip", "mta")
}

// A group that this session took without having heard so is run, or given up.
func unknownTake(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	stop := c.ask(state.Wish{Kind: state.StopGroup, Group: "mail"})
	free := func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Free }
	c.until("it is free", free)
	take := func() uint64 {
		g, err := c.nodes["n2"].Session().Take(c.t.Context(), c.snapshot().Groups["mail"], state.Claim{Why: "nobody heard"})
		if err != nil {
			c.t.Fatal(err)
		}
		return g.Epoch
	}
	e := take()
	c.until("it is free again", func(s state.Snapshot) bool { return free(s) && s.Groups["mail"].Epoch == e })
	take()
	c.takeBack(stop)
	c.until("it runs", func(s state.Snapshot) bool {
		return s.Groups["mail"].Phase == state.Running && len(c.where("mta")) == 1
	})
}

// What was written and not confirmed counts all the same.
func lostAnswers(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("*/mta/stop", fault{last: 100 * time.Millisecond}) // a move is not over before anybody looks
	for i := range 12 {
		from, to := "n1", "n2"
		if i%2 == 1 {
			from, to = to, from
		}
		before := c.snapshot().Groups["mail"].Epoch
		c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: to})
		c.until("it moves", func(s state.Snapshot) bool {
			return s.Groups["mail"].Phase != state.Running || s.Groups["mail"].Epoch > before
		})
		mute := []string{from, to}[i/2%2]
		c.nodes[mute].wire.HoldAnswers()
		time.Sleep(time.Duration(100+50*i) * time.Millisecond)
		c.nodes[mute].wire.Free()
		c.on(to, "mail", "vip", "mta")
		c.until("the wish is fulfilled", func(s state.Snapshot) bool { return len(s.Wishes) == 0 })
	}
	if e := c.snapshot().Groups["mail"].Epoch; e != 13 {
		c.t.Logf("epoch %d: a lease was lost on the way", e)
	}
}

func fenced(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("mail has failed", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Failed })
	c.power("n1")
	c.until("n1 is gone", func(s state.Snapshot) bool { _, is := s.Nodes["n1"]; return !is })
	time.Sleep(time.Second)
	if g := c.snapshot().Groups["mail"]; g.Owner != "n1" {
		c.t.Errorf("taken over though its stop had failed: %+v", g)
	}
	c.ask(state.Wish{Kind: state.Fenced, Node: "n1"})
	c.on("n2", "mail", "vip", "mta")
}
