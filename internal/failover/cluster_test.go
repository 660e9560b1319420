// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

const (
	// What a lease that was lost leaves to let go has to do on a busy machine as well.
	lease    = 3 * time.Second
	longer   = 10 * time.Second // for tests that are to lose none, on a busy machine either
	margin   = 800 * time.Millisecond
	patience = 30 * time.Second
)

// cluster is some nodes on one etcd, each with a way to it that can be cut.
type cluster struct {
	*world
	t      *testing.T
	name   string
	etcd   netip.AddrPort
	lease  time.Duration
	wire   *quorumtest.Wire // of an operator
	store  *state.Store     // of an operator
	noise  *quorumtest.Noise
	nodes  map[string]*node
	mu     sync.Mutex
	files  map[string]*resources.Cluster // by text
	latest atomic.Pointer[state.Snapshot]
	killed []chan error
}

// node is a machine with a daemon.
type node struct {
	*Engine
	c        *cluster
	name     string
	wire     *quorumtest.Wire
	alive    *atomic.Bool // the daemon
	rounds   atomic.Int64 // when the loop last went round, in nanoseconds
	longest  atomic.Int64 // that it took
	stop     context.CancelFunc
	done     chan error
	stateDir string
	boots    int
	file     string // its own, when it begins; empty: the first
	barred   atomic.Bool
	asked    atomic.Int64 // how often it has wanted to join
}

// noUnits is a systemd without units.
type noUnits struct{ agents.Units }

func (noUnits) Watch(ctx context.Context, _ string, _ func(unit.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func dial(t *testing.T, at netip.AddrPort) *quorum.Client {
	t.Helper()
	client, err := quorum.Dial(quorum.Endpoints{URLs: []string{"http://" + at.String()}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var clusters atomic.Int64

func newCluster(t *testing.T, etcd netip.AddrPort, lease time.Duration, groups ...resources.Group) *cluster {
	t.Helper()
	c := &cluster{
		world: newWorld(), t: t, name: fmt.Sprint("c", clusters.Add(1)), etcd: etcd, lease: lease, nodes: map[string]*node{}, files: map[string]*resources.Cluster{},
		wire: quorumtest.NewWire(t, etcd), noise: quorumtest.Listen(t, 50*time.Millisecond),
	}
	client := dial(t, c.wire.At)
	t.Cleanup(func() { client.Close() })
	var err error
	c.store, err = state.Open(client, state.Options{Cluster: c.name})
	if err != nil {
		t.Fatal(err)
	}
	c.files["first"] = c.file(groups...)
	ctx, cancel := context.WithCancel(context.Background())
	watch := c.store.Watch(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range watch {
			c.latest.Store(&s)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	t.Cleanup(func() {
		for _, done := range c.killed {
			select {
			case <-done:
			case <-time.After(patience):
				t.Error("what is left of a killed daemon did not end")
			}
		}
		for _, wrong := range c.wrong {
			t.Error(wrong)
		}
		for _, n := range c.nodes {
			// A round may wait a second for its report, and what is left is for the disk.
			most := 2*time.Second + 2*c.noise.Longest()
			if d := time.Duration(n.longest.Load()); d > most {
				t.Errorf("the loop of %s did not go round for %s, longer than %s", n.name, d, most)
			}
		}
		if t.Failed() {
			for _, h := range c.story {
				t.Log(h.at.Format("05.000"), h.node, h.what, h.resource)
			}
		}
	})
	return c
}

// file is a configuration of three nodes.
func (c *cluster) file(groups ...resources.Group) *resources.Cluster {
	f := &resources.Cluster{Name: c.name, Lease: c.lease, Margin: margin, MaxMoves: 3, MovesWindow: time.Hour, Groups: groups}
	for _, n := range []string{"n1", "n2", "n3"} {
		f.Nodes = append(f.Nodes, resources.Node{Name: n})
	}
	return f
}

// groupOf prefers the nodes in their order and never fails back.
func groupOf(name string, nodes []string, all ...resources.Resource) resources.Group {
	g := resources.Group{Name: name, FailureWindow: time.Hour}
	for i, n := range nodes {
		g.Nodes = append(g.Nodes, resources.Preference{Node: n, Rank: i})
	}
	for _, r := range all {
		r.Group = name
		r.Monitors = []resources.Monitor{{Interval: 200 * time.Millisecond, Timeout: 10 * time.Second}}
		r.StartTimeout, r.StopTimeout = 3*time.Second, 3*time.Second
		g.Resources = append(g.Resources, r)
	}
	return g
}

func warm(r resources.Resource) resources.Resource { r.Standby = resources.Warm; return r }

// boot starts all daemons, and nothing else before all of them are there: where groups
// go does not depend on who is first.
func (c *cluster) boot() {
	c.t.Helper()
	w := c.ask(state.Wish{Kind: state.Maintenance})
	c.start("n1", "n2", "n3")
	c.until("all are there", func(s state.Snapshot) bool { return len(s.Nodes) == 3 && s.Config.Rev != 0 })
	c.takeBack(w)
}

// start boots some daemons.
func (c *cluster) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		n := &node{c: c, name: name, stateDir: c.t.TempDir()}
		c.nodes[name] = n
		n.run()
	}
}

func (n *node) run() {
	c := n.c
	n.wire, n.done = quorumtest.NewWire(c.t, c.etcd), make(chan error, 1)
	c.t.Cleanup(func() { // before the wire
		c.heal()
		n.leave()
	})
	client := dial(c.t, n.wire.At)
	store, err := state.Open(client, state.Options{Cluster: c.name, Agreed: func() clock.Time { return c.agreed(n.name) }})
	if err != nil {
		c.t.Fatal(err)
	}
	alive := &atomic.Bool{} // of this daemon, which another one may follow
	alive.Store(true)
	n.alive = alive
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("MAILHA_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.name)
	}
	var engine *Engine // of this daemon as well
	engine = New(Config{
		Node: state.Node{Name: n.name, Boot: fmt.Sprint("boot", n.boots), Version: "1"}, Cluster: c.files[cmp.Or(n.file, "first")], Types: c.types(n.name, alive.Load),
		Store: store, Units: noUnits{}, StateDir: n.stateDir, Log: log,
		Drop: func(context.Context) ([]vip.Holding, error) {
			c.drop(n.name, engine.Session() != nil)
			return nil, nil
		},
		Parse: func(text string) (*resources.Cluster, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if f, ok := c.files[text]; ok {
				return f, nil
			}
			return nil, errors.New("it cannot be read")
		},
		File: func() (string, error) { return "first", nil },
		Arrive: func(context.Context) error {
			if n.asked.Add(1); n.barred.Load() {
				return errors.New("not yet")
			}
			return nil
		},
		Alive: func() {
			now := time.Now().UnixNano()
			if last := n.rounds.Swap(now); last != 0 && now-last > n.longest.Load() {
				n.longest.Store(now - last)
			}
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	done := n.done
	n.rounds.Store(0)
	n.Engine = engine
	go func() { done <- engine.Run(ctx); client.Close() }()
}

// agreed has a node ask all others, as the wires between them would.
func (c *cluster) agreed(asker string) clock.Time {
	sent := clock.Boot{}.Now()
	least := time.Hour
	for _, name := range []string{"n1", "n2", "n3"} {
		n := c.nodes[name]
		if name == asker {
			continue
		}
		if n == nil || !n.alive.Load() {
			c.refused(asker, name)
			return 0
		}
		d := n.Cluster().Lease
		if !n.Agree(asker, d) {
			c.refused(asker, name)
			return 0
		}
		least = min(least, d)
	}
	return sent.Add(least)
}

// refused is noted once for many questions in a row, for whoever looks into a failure.
func (w *world) refused(asker, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := "is refused by " + name
	if n := len(w.story); n == 0 || w.story[n-1].node != asker || w.story[n-1].what != what {
		w.note(asker, "", what, nil)
	}
}

// drop is noted only where something is. Lost says that a lease was.
func (w *world) drop(node string, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lost && w.mercy {
		maps.DeleteFunc(w.faults, func(where string, _ fault) bool { return strings.HasSuffix(where, "/stop") })
	}
	for at := range w.things {
		if at[0] == node {
			w.note(node, "", "drop", nil)
			return
		}
	}
}

// dropped says whether a node has let its addresses go since then.
func (w *world) dropped(node string, since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.story, func(h happening) bool { return h.node == node && h.what == "drop" && !h.at.Before(since) })
}

// leave ends a daemon in order.
func (n *node) leave() {
	if n.stop == nil {
		return
	}
	n.stop()
	select {
	case <-n.done:
	case <-time.After(patience):
		n.c.t.Errorf("%s did not end", n.name)
	}
	n.stop = nil
}

// kill ends a daemon by force: what it runs goes on.
func (n *node) kill() {
	n.wire.Hold() // first: it is not to tell what it finds not running then
	n.alive.Store(false)
	n.c.killed = append(n.c.killed, n.done)
	n.stop()
	n.stop = nil
}

// power cuts that of a machine.
func (c *cluster) power(name string) {
	c.nodes[name].kill()
	c.world.off(name)
}

// again switches a machine on again.
func (c *cluster) again(name string) {
	c.world.mu.Lock()
	delete(c.dead, name)
	c.world.mu.Unlock()
	c.nodes[name].boots++
	c.nodes[name].run()
}

func (c *cluster) snapshot() state.Snapshot {
	if s := c.latest.Load(); s != nil {
		return *s
	}
	return state.Snapshot{}
}

// until waits for what must come true.
func (c *cluster) until(what string, is func(state.Snapshot) bool) time.Duration {
	c.t.Helper()
	from := time.Now()
	for time.Since(from) < patience {
		if is(c.snapshot()) {
			return time.Since(from)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s := c.snapshot()
	c.t.Fatalf("%s: it did not come; groups %+v, wishes %+v, stale %v", what, s.Groups, s.Wishes, s.Stale)
	return 0
}

// on waits until a group runs on a node, with all of the resources, and those nowhere else.
func (c *cluster) on(node, group string, all ...string) time.Duration {
	c.t.Helper()
	return c.until(group+" on "+node, func(s state.Snapshot) bool {
		for _, r := range all {
			if strings.Join(c.where(r), " ") != node {
				return false
			}
		}
		g := s.Groups[group]
		return g.Owner == node && g.Phase == state.Running
	})
}

func (c *cluster) ask(w state.Wish) state.Wish {
	c.t.Helper()
	w.By = "root"
	w, err := c.store.PutWish(c.t.Context(), w)
	if err != nil {
		c.t.Fatal(err)
	}
	return w
}

func (c *cluster) takeBack(w state.Wish) {
	c.t.Helper()
	if err := c.store.EndWish(c.t.Context(), w, "root", ""); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) load(text string, f *resources.Cluster) {
	c.t.Helper()
	if f != nil {
		c.mu.Lock()
		c.files[text] = f
		c.mu.Unlock()
	}
	put, err := c.store.PutConfig(c.t.Context(), state.Config{TOML: text, By: "root", Rev: c.snapshot().Config.Rev})
	if err != nil {
		c.t.Fatal(err)
	}
	c.until("the operator has heard it", func(s state.Snapshot) bool { return s.Config.Rev >= put.Rev })
}

// heeded waits until all daemons go by what was written in a revision.
func (c *cluster) heeded(rev int64) {
	c.t.Helper()
	each := func(is func(*node) bool) func(state.Snapshot) bool {
		return func(state.Snapshot) bool {
			for _, n := range c.nodes {
				if !is(n) {
					return false
				}
			}
			return true
		}
	}
	c.until("all have heard it", each(func(n *node) bool { return n.Snapshot().Revision >= rev }))
	for range 2 { // the first may be the beginning of the round that goes by it
		before := map[*node]int64{}
		for _, n := range c.nodes {
			before[n] = n.rounds.Load()
		}
		c.until("all go round", each(func(n *node) bool { return n.rounds.Load() != before[n] }))
	}
}

// fail has a resource fail where it is.
func (c *cluster) fail(node, resource string) {
	c.world.on(node, resource, func(th *thing) { th.failed = true })
}
