// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

func all() []string { return []string{"n1", "n2", "n3"} }

func mail(nodes ...string) resources.Group {
	if len(nodes) == 0 {
		nodes = all()
	}
	return groupOf("mail", nodes, thingOf("vip"), thingOf("mta", "vip"))
}

func TestEngines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("etcd", func(t *testing.T) {
		cfg := quorumtest.Config(t, "n1")
		if err := quorum.Found(t.Context(), cfg, nil); err != nil {
			t.Fatal(err)
		}
		quorumtest.Start(t, cfg)
		etcd := cfg.Client
		for _, tt := range []struct {
			name   string
			lease  time.Duration
			groups []resources.Group
			run    func(*cluster)
		}{
			{"OperatorMoves", longer, []resources.Group{mail(), groupOf("web", []string{"n2", "n1"}, thingOf("w"))}, operatorMoves},
			{"PowerCut", lease, []resources.Group{mail()}, powerCut},
			{"DaemonKilled", longer, []resources.Group{mail("n1")}, daemonKilled},
			{"LeftAndStuck", lease, []resources.Group{mail()}, leftAndStuck},
			{"LeftAndUnlisted", lease, []resources.Group{mail()}, leftAndUnlisted},
			{"LeftAndRestored", lease, []resources.Group{mail()}, leftAndRestored},
			{"LeftAndFree", longer, []resources.Group{mail()}, leftAndFree},
			{"LeaseLost", lease, []resources.Group{mail()}, leaseLost},
			{"Resources", longer, []resources.Group{mail()}, resourceWishes},
			{"StopFails", longer, []resources.Group{mail()}, stopFails},
			{"StartFails", longer, []resources.Group{mail("n1", "n2")}, startFails},
			{"StopsForGood", longer, []resources.Group{groupOf("mail", all(), onFailure(resources.OnFailureStop, thingOf("vip")), thingOf("mta"))}, stopsForGood},
			{"Epoch", longer, []resources.Group{mail()}, epoch},
			{"Reload", longer, []resources.Group{mail(), groupOf("web", all(), thingOf("w"))}, reload},
			{"Regroup", longer, []resources.Group{mail(), groupOf("web", all(), thingOf("w"), thingOf("x", "w"))}, regroup},
			{"Maintenance", longer, []resources.Group{mail()}, maintenance},
			{"Warm", longer, []resources.Group{groupOf("mail", all(), thingOf("vip"), warm(kindOf("mta", thingOf("mta"))), warm(kindOf("directory", thingOf("ldap"))))}, warmStandby},
			{"LeaseOfTheCluster", lease, []resources.Group{mail()}, leaseOfTheCluster},
			{"AddressIsPutBack", longer, []resources.Group{mail()}, addressIsPutBack},
			{"AskedMovesAreFree", lease, []resources.Group{mail()}, askedMovesAreFree},
			{"Arrives", lease, []resources.Group{mail()}, arrives},
			{"Fenced", lease, []resources.Group{mail()}, fenced},
			{"Safe", lease, []resources.Group{mail("n1", "n2")}, safe},
			{"Revoked", longer, []resources.Group{mail()}, revoked},
			{"UnknownTake", longer, []resources.Group{mail()}, unknownTake},
			{"LostAnswers", longer, []resources.Group{mail()}, lostAnswers},
			{"History", lease, histories(0), history},
			{"History", lease, histories(0), history},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, etcd, tt.lease, tt.groups...)
				c.boot()
				tt.run(c)
			})
		}
	})
	for range 100 { // what ends by itself may take a moment
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func operatorMoves(c *cluster) {
	t := c.t
	c.on("n1", "mail", "vip", "mta")
	c.on("n2", "web", "w")
	// Two at once, crosswise.
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.ask(state.Wish{Kind: state.Move, Group: "web", Node: "n1"})
	took := c.on("n2", "mail", "vip", "mta")
	c.on("n1", "web", "w")
	t.Logf("two moves took %s", took)
	c.until("the wishes are fulfilled", func(s state.Snapshot) bool { return len(s.Wishes) == 0 })
	standby := c.ask(state.Wish{Kind: state.Standby, Node: "n2"})
	c.on("n1", "mail", "vip", "mta")
	c.takeBack(standby)
	ban := c.ask(state.Wish{Kind: state.Ban, Group: "mail", Node: "n1"})
	c.until("mail off n1", func(s state.Snapshot) bool {
		g := s.Groups["mail"]
		return g.Owner != "n1" && g.Phase == state.Running
	})
	c.takeBack(ban)
	stop := c.ask(state.Wish{Kind: state.StopGroup, Group: "mail"})
	c.until("mail is stopped", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Free && len(c.where("vip")) == 0 })
	c.takeBack(stop)
	c.until("mail runs", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Running })
}

func resourceWishes(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.ask(state.Wish{Kind: state.Restart, Resource: "vip"})
	c.until("vip is restarted", func(s state.Snapshot) bool {
		return c.happened("n1", "vip", "start") == 2 && len(s.Wishes) == 0 && len(c.where("vip")) == 1
	})
	stop := c.ask(state.Wish{Kind: state.Stop, Resource: "vip"})
	c.until("vip is stopped", func(s state.Snapshot) bool { return len(c.where("vip")) == 0 })
	c.until("and told", func(s state.Snapshot) bool {
		return slices.ContainsFunc(s.Reports["n1"].Resources, func(r state.ResourceReport) bool {
			return r.Name == "vip" && r.Phase == state.ResourceStopped
		})
	})
	c.takeBack(stop)
	c.on("n1", "mail", "vip", "mta")
	if c.happened("n1", "mta", "start") != 1 || c.happened("n1", "mta", "stop") != 0 {
		c.t.Error("mta was touched")
	}
	// It fails until the group goes elsewhere.
	for i := range 3 {
		c.until("vip runs on n1", func(state.Snapshot) bool { return strings.Join(c.where("vip"), " ") == "n1" })
		c.fail("n1", "vip")
		c.until("it was noticed", func(s state.Snapshot) bool { return len(s.Groups["mail"].Failures) == i+1 })
	}
	c.on("n2", "mail", "vip", "mta")
}

func stopFails(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n1/vip/stop", fault{err: errors.New("it does not go")})
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("mail has failed", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Failed })
	if why := c.snapshot().Groups["mail"].Why; !strings.Contains(why, "vip could not be stopped: it does not go") {
		c.t.Error(why)
	}
	time.Sleep(2500 * time.Millisecond)
	if g := c.snapshot().Groups["mail"]; g.Owner != "n1" || g.Phase != state.Failed {
		c.t.Errorf("%+v", g)
	}
	c.heal()
	c.on("n2", "mail", "vip", "mta")
}

func startFails(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n2/mta/start", fault{err: errors.New("no licence")})
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("it was tried", func(state.Snapshot) bool { return c.happened("n2", "mta", "start") > 0 })
	c.on("n1", "mail", "vip", "mta")
	// Everywhere: what can run does, and the other is abandoned until it is forgiven.
	c.set("*/mta/start", fault{err: errors.New("no licence")})
	c.until("mta runs", func(state.Snapshot) bool { return len(c.where("mta")) == 1 })
	c.fail("n1", "mta")
	c.until("it is abandoned", func(s state.Snapshot) bool {
		g := s.Groups["mail"]
		fatal := slices.ContainsFunc(g.Failures, func(f state.Failure) bool { return f.Fatal && f.Node == "n1" })
		return fatal && g.Phase == state.Running && len(c.where("vip")) == 1 && len(c.where("mta")) == 0
	})
	starts := c.happened("n1", "mta", "start") + c.happened("n2", "mta", "start")
	time.Sleep(time.Second)
	if now := c.happened("n1", "mta", "start") + c.happened("n2", "mta", "start"); now != starts {
		c.t.Errorf("it is tried again and again: %d, %d", starts, now)
	}
	c.heal()
	if _, err := c.store.Forgive(c.t.Context(), c.snapshot().Groups["mail"], "", "root"); err != nil {
		c.t.Fatal(err)
	}
	c.until("mta runs again", func(s state.Snapshot) bool {
		return len(c.where("mta")) == 1 && s.Groups["mail"].Phase == state.Running
	})
}

func stopsForGood(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.fail("n1", "vip")
	c.until("it was noticed", func(s state.Snapshot) bool { return len(s.Groups["mail"].Failures) == 1 && len(c.where("vip")) == 0 })
	time.Sleep(1500 * time.Millisecond)
	if g := c.snapshot().Groups["mail"]; len(c.where("vip")) != 0 || g.Owner != "n1" || c.happened("n1", "vip", "start") != 1 {
		c.t.Errorf("%+v, %v", g, c.where("vip"))
	}
	c.ask(state.Wish{Kind: state.Restart, Resource: "vip"})
	c.on("n1", "mail", "vip", "mta")
	if f := c.snapshot().Groups["mail"].Failures; len(f) > 0 {
		c.until("its failure is forgotten", func(s state.Snapshot) bool { return len(s.Groups["mail"].Failures) == 0 })
	}
}

func epoch(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.set("n2/mta/start", fault{err: fmt.Errorf("%w", &agents.EpochError{Own: 2, Marked: 41, Node: "n9"})})
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("the epoch is raised", func(s state.Snapshot) bool { return s.Groups["mail"].Epoch == 42 && s.Groups["mail"].Owner == "n2" })
	c.heal()
	// A start under 42 that was on its way may have met the fault once more.
	c.until("mail runs", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Running })
}

func reload(c *cluster) {
	t := c.t
	c.on("n1", "mail", "vip", "mta")
	c.on("n1", "web", "w")
	web := groupOf("web", all(), thingOf("w"))
	// Only the list of nodes: nothing is touched.
	c.load("nodes", c.file(groupOf("mail", []string{"n1", "n2"}, thingOf("vip"), thingOf("mta", "vip")), web))
	c.load("a bad one", nil)
	hard := thingOf("mta", "vip")
	hard.Params = map[string]string{"hard": "x"}
	c.load("hard", c.file(groupOf("mail", []string{"n1", "n2"}, thingOf("vip"), hard), web))
	c.until("mta is restarted", func(state.Snapshot) bool { return c.happened("n1", "mta", "start") == 2 && len(c.where("mta")) == 1 })
	soft := hard
	soft.Params = map[string]string{"hard": "x", "soft": "y"}
	c.load("soft", c.file(groupOf("mail", []string{"n1", "n2"}, thingOf("vip"), soft), web))
	c.until("mta is reloaded", func(state.Snapshot) bool { return c.happened("n1", "mta", "reload") == 1 })
	// In the middle of a move, and a group less and one more.
	c.set("n1/mta/stop", fault{last: 500 * time.Millisecond})
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("it is stopping", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Stopping })
	c.load("groups", c.file(groupOf("mail", []string{"n1", "n2"}, thingOf("vip"), hard), groupOf("news", all(), thingOf("n"))))
	c.on("n2", "mail", "vip", "mta")
	c.until("news runs", func(s state.Snapshot) bool { return s.Groups["news"].Phase == state.Running })
	c.until("web is gone", func(s state.Snapshot) bool { return s.Groups["web"].Phase == state.Free && len(c.where("w")) == 0 })
	if c.happened("n1", "vip", "start") != 1 || c.happened("n1", "vip", "stop") != 1 || c.happened("n1", "w", "start") != 1 {
		t.Error("something was touched that nobody asked for")
	}
}

// A resource that changes its group, which the API refuses, is not started as a part of the new one before it is
// stopped as a part of the old one.
func regroup(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	c.on("n1", "web", "w", "x")
	c.set("n1/x/stop", fault{last: 700 * time.Millisecond}) // before w
	c.load("regrouped", c.file(groupOf("mail", all(), thingOf("vip"), thingOf("mta", "vip"), thingOf("w"))))
	c.until("w is stopped", func(state.Snapshot) bool { return c.happened("n1", "w", "stop") == 1 })
	c.on("n1", "mail", "vip", "mta", "w")
	if g := c.snapshot().Groups["mail"]; c.happened("n1", "w", "start") != 2 || len(g.Failures) > 0 {
		c.t.Errorf("w was started %d times: %+v", c.happened("n1", "w", "start"), g)
	}
}

func maintenance(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	w := c.ask(state.Wish{Kind: state.Maintenance})
	c.heeded(w.Rev)
	c.fail("n1", "vip")
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.until("it is told", func(s state.Snapshot) bool {
		return slices.ContainsFunc(s.Reports["n1"].Resources, func(r state.ResourceReport) bool {
			return r.Name == "vip" && r.Phase == state.ResourceDegraded
		})
	})
	if c.happened("n1", "vip", "stop")+c.happened("n1", "mta", "stop") > 0 {
		c.t.Error("something was touched")
	}
	w.Until = time.Now().Add(time.Second)
	w = c.ask(w)
	c.on("n2", "mail", "vip", "mta")
	if time.Now().Before(w.Until) {
		c.t.Error("before it had ended")
	}
	events, err := c.store.Events(c.t.Context(), 100)
	if err != nil || !slices.ContainsFunc(events, func(e state.Event) bool {
		return strings.Contains(e.What, "ended maintenance: its time is over")
	}) {
		c.t.Errorf("%v, %+v", err, events)
	}
}

func warmStandby(c *cluster) {
	everywhere := func() bool {
		return strings.Join(c.where("mta"), " ") == "n1 n2 n3" && strings.Join(c.where("ldap"), " ") == "n1 n2 n3"
	}
	promoted := func(node string) bool {
		is := false
		c.world.on(node, "ldap", func(th *thing) { is = th.promoted })
		return is
	}
	c.on("n1", "mail", "vip")
	c.until("it is warm", func(state.Snapshot) bool { return everywhere() && promoted("n1") })
	if g := c.snapshot().Groups["mail"]; g.Phase != state.Running {
		c.t.Errorf("%+v", g)
	}
	took := time.Now()
	c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	c.on("n2", "mail", "vip")
	c.t.Logf("a warm move took %s", time.Since(took))
	if !everywhere() || !promoted("n2") || promoted("n1") || c.happened("n1", "mta", "stop")+c.happened("n2", "mta", "start") != 1 {
		c.t.Error("it was not warm")
	}
	c.fail("n2", "mta") // started again by the one who has started it
	c.until("mta is mended", func(state.Snapshot) bool { return everywhere() })
	c.fail("n2", "ldap")
	c.until("ldap is mended", func(s state.Snapshot) bool {
		return everywhere() && promoted("n2") && s.Groups["mail"].Phase == state.Running
	})
	// An address that is gone is not the service's fault, which is not started anew.
	starts, promotions := c.happened("n2", "ldap", "start"), c.happened("n2", "ldap", "promote")
	demotions := c.happened("n2", "ldap", "demote")
	c.world.set("n2/ldap/promote", fault{last: 500 * time.Millisecond}) // or the next monitor may come before the fault is over
	c.world.set("n2/ldap/monitor", fault{err: agents.Promoted{Err: errors.New("address not held"), Addresses: true}})
	c.until("it is demoted", func(state.Snapshot) bool { return c.happened("n2", "ldap", "demote") > demotions })
	c.world.heal()
	c.until("it is promoted again", func(s state.Snapshot) bool {
		return promoted("n2") && c.happened("n2", "ldap", "promote") > promotions && s.Groups["mail"].Phase == state.Running
	})
	if n := c.happened("n2", "ldap", "start"); n != starts {
		c.t.Errorf("for want of an address it was started anew: %d times", n-starts)
	}
	standby := c.ask(state.Wish{Kind: state.Standby, Node: "n2"})
	c.on("n1", "mail", "vip")
	c.until("n2 is empty", func(state.Snapshot) bool { return strings.Join(c.where("ldap"), " ") == "n1 n3" })
	c.takeBack(standby)
	c.until("it is warm", func(state.Snapshot) bool { return everywhere() && promoted("n1") })
	// Cold from now on, and warm again.
	c.load("cold", c.file(groupOf("mail", all(), thingOf("vip"), kindOf("mta", thingOf("mta")), warm(kindOf("directory", thingOf("ldap"))))))
	c.until("mta is cold", func(s state.Snapshot) bool {
		return strings.Join(c.where("mta"), " ") == "n1" && s.Groups["mail"].Phase == state.Running
	})
	c.load("first", nil)
	c.until("it is warm", func(state.Snapshot) bool { return everywhere() })
	if f := c.snapshot().Groups["mail"].Failures; len(f) > 2 { // those of ldap
		c.t.Errorf("%+v", f)
	}
}

// A daemon goes by the lease that the cluster runs when it begins, whatever its file says,
// and by that one until it ends.
func leaseOfTheCluster(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	const another = 3 * lease
	f := c.file(groupOf("mail", all(), thingOf("vip"), thingOf("mta", "vip")))
	f.Lease = another
	c.load("longer", f)
	c.until("all have adopted it", func(state.Snapshot) bool {
		return c.nodes["n1"].Cluster().Lease == another && c.nodes["n2"].Cluster().Lease == another
	})
	left := func(node string) time.Duration {
		s := c.nodes[node].Session()
		if s == nil {
			return 0
		}
		return s.Deadline().Sub(clock.Boot{}.Now())
	}
	if d := left("n2"); d > lease {
		c.t.Errorf("a daemon that runs goes by the new lease: %s are left", d)
	}
	c.power("n2")
	c.again("n2")
	c.until("it has the lease of the cluster", func(state.Snapshot) bool { return left("n2") > 2*lease })
}

// started says whether a node's daemon takes a resource for started.
func (c *cluster) started(node, resource string) bool {
	r, ok := c.nodes[node].Report().Resource(resource)
	return ok && r.Phase == state.ResourceStarted
}

// An address that somebody has removed is put back without a stop, and a link that is
// down for a moment is no failure.
func addressIsPutBack(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	stops := c.happened("n1", "mta", "stop")
	c.world.set("n1/mta/monitor", fault{err: fmt.Errorf("10.0.0.1: %w", vip.ErrLinkDown), once: true})
	c.until("the fault is seen", func(state.Snapshot) bool { return c.world.faultless() })
	c.world.set("n1/mta/monitor", fault{err: fmt.Errorf("10.0.0.1: %w", vip.ErrNotHeld), once: true})
	c.until("it is mended", func(s state.Snapshot) bool {
		return len(s.Groups["mail"].Failures) > 0 && c.world.faultless() && c.started("n1", "mta")
	})
	if n := c.happened("n1", "mta", "stop") - stops; n != 0 {
		c.t.Errorf("it was stopped %d times", n)
	}
	if f := c.snapshot().Groups["mail"].Failures; len(f) != 1 || f[0].Fatal {
		c.t.Errorf("%+v", f)
	}
}

// A node joins only when what has to be said before is said.
func arrives(c *cluster) {
	n := c.nodes["n1"]
	n.leave()
	c.on("n2", "mail", "vip", "mta")
	n.barred.Store(true)
	before := n.asked.Load()
	n.run()
	c.until("it has tried twice", func(s state.Snapshot) bool {
		if _, present := s.Nodes["n1"]; present {
			c.t.Fatal("it takes part all the same")
		}
		return n.asked.Load() >= before+2
	})
	n.barred.Store(false)
	c.until("it takes part", func(s state.Snapshot) bool { return s.Nodes["n1"].Name != "" })
}

func askedMovesAreFree(c *cluster) {
	c.on("n1", "mail", "vip", "mta")
	for i := range 6 {
		to := []string{"n2", "n3"}[i%2]
		c.ask(state.Wish{Kind: state.Move, Group: "mail", Node: to})
		c.on(to, "mail", "vip", "mta")
		c.until("the wish is fulfilled", func(s state.Snapshot) bool { return len(s.Wishes) == 0 })
	}
	if moves := c.snapshot().Groups["mail"].Moves; len(moves) != 0 {
		c.t.Errorf("%v", moves)
	}
	c.power("n3")
	c.on("n1", "mail", "vip", "mta")
}
