// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

const (
	// What a lease that was lost leaves to let go has to do on a busy machine as well.
	lease    = 3 * time.Second
	margin   = 800 * time.Millisecond
	patience = 30 * time.Second
)

// cluster is some nodes on one etcd, each with a way to it that can be cut.
type cluster struct {
	*world
	t      *testing.T
	name   string
	etcd   netip.AddrPort
	store  *state.Store // of an operator
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
}

// noUnits is a systemd without units.
type noUnits struct{ agents.Units }

func (noUnits) Watch(ctx context.Context, _ string, _ func(unit.State)) error {
	<-ctx.Done()
	return ctx.Err()
}

func dial(t *testing.T, at netip.AddrPort) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + at.String()}, DialTimeout: time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var clusters atomic.Int64

func newCluster(t *testing.T, etcd netip.AddrPort, groups ...resources.Group) *cluster {
	t.Helper()
	client := dial(t, etcd)
	t.Cleanup(func() { client.Close() })
	c := &cluster{world: newWorld(), t: t, name: fmt.Sprint("c", clusters.Add(1)), etcd: etcd, nodes: map[string]*node{}, files: map[string]*resources.Cluster{}}
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
			if d := time.Duration(n.longest.Load()); d > 2*time.Second { // 1 s, and a busy machine
				t.Errorf("the loop of %s did not go round for %s", n.name, d)
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
	f := &resources.Cluster{Name: c.name, Lease: lease, Margin: margin, MaxMoves: 3, MovesWindow: time.Hour, Groups: groups}
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
		r.Monitors = []resources.Monitor{{Interval: 200 * time.Millisecond, Timeout: time.Second}}
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
	store, err := state.Open(client, state.Options{Cluster: c.name})
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
	n.Engine = New(Config{
		Node: state.Node{Name: n.name, Boot: fmt.Sprint("boot", n.boots), Version: "1"}, Cluster: c.files["first"], Types: c.types(n.name, alive.Load),
		Store: store, Units: noUnits{}, StateDir: n.stateDir, Log: log,
		Drop: func(context.Context) ([]vip.Holding, error) { c.drop(n.name); return nil, nil },
		Parse: func(text string) (*resources.Cluster, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if f, ok := c.files[text]; ok {
				return f, nil
			}
			return nil, errors.New("it cannot be read")
		},
		File: func() (string, error) { return "first", nil },
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
	engine := n.Engine
	go func() { done <- engine.Run(ctx); client.Close() }()
}

// drop is noted only where something is.
func (w *world) drop(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
	n.alive.Store(false)
	n.wire.Hold()
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
	if _, err := c.store.PutConfig(c.t.Context(), state.Config{TOML: text, By: "root", Rev: c.snapshot().Config.Rev}); err != nil {
		c.t.Fatal(err)
	}
}

// fail has a resource fail where it is.
func (c *cluster) fail(node, resource string) {
	c.world.on(node, resource, func(th *thing) { th.failed = true })
}
