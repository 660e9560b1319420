// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

// Config is what the loop of one node needs.
type Config struct {
	Node     state.Node // Name, Boot, Version, API
	Cluster  *resources.Cluster
	Types    []agents.Type
	Store    *state.Store
	Units    Units
	StateDir string // of the agents: empty after a boot, such as /run/mailha
	// Drop lets all addresses of the cluster on this node go at once: vip.Drop.
	Drop func(context.Context) ([]vip.Holding, error)
	// Extend has the kernel remove all addresses of the cluster on this node when so
	// much time has passed, unless it is called again: vip.Extend. Nil: nobody does.
	Extend func(context.Context, time.Duration) error
	// Forsake ends the connections that this node has to addresses which were elsewhere:
	// vip.Forsake. Nil: nobody does.
	Forsake func(context.Context, []netip.Addr) (int, error)
	Log     *slog.Logger
	// Present is told when the node has joined the cluster, and when it has lost it;
	// nil: nobody asks.
	Present func(bool)
	// Seen is told each state of the cluster; nil: nobody asks.
	Seen func(state.Snapshot)
	// Parse reads the configuration that the cluster runs, which replaces Cluster when
	// it changes. File is this node's own copy, which becomes the cluster's if it has
	// none yet.
	Parse func(text string) (*resources.Cluster, error)
	File  func() (string, error)
	// Adopted is told the text of each configuration of the cluster's that is adopted; nil:
	// nobody asks. It must not wait.
	Adopted func(text string)
	// Witness: it is present and runs nothing.
	Witness bool
	// Arrive is called before each attempt to join, and keeps the node out with its error;
	// nil: nothing has to be said before.
	Arrive func(ctx context.Context) error
	// Empty: Engine.Bare has just proved that nothing of a former daemon's is here.
	Empty bool
	// Fitted: a watchdog was made to fit the lease and the margin of Cluster, which count
	// therefore, whatever the cluster runs by now.
	Fitted bool
	// Alive is called by the loop itself whenever it has gone round, at least each
	// second; nil: nobody asks.
	Alive func()
	// Meter counts what happens; nil: nobody asks.
	Meter Meter
}

// Engine is the control loop of one node. Make it by New, and Run it once.
type Engine struct {
	Config
	types map[string]agents.Type
	kinds resources.Kinds
	bell  *bell
	news  *queue[news]

	session  atomic.Pointer[state.Session]
	snapshot atomic.Pointer[state.Snapshot]
	cluster  atomic.Pointer[resources.Cluster]

	report atomic.Pointer[state.Report]

	epochs map[string]uint64 // of groups, as they were seen last; the loop's

	// began has the lease and the margin that this daemon goes by until it ends.
	began  atomic.Pointer[resources.Cluster]
	termed bool // it is known; the loop's

	mu       sync.Mutex
	tokens   map[string]chan struct{} // by resource
	promised promises
	safety   safety

	// What follows belongs to the loop.
	adopted int64 // revision of the configuration
	owned   map[string]*owned
	standby map[string]*standby
	// records are the latest that this node has written itself, by group: the watch
	// may tell them later.
	records map[string]state.Group
	caring  bool // the cluster is in maintenance
}

// New makes a loop. It does nothing yet.
func New(cfg Config) *Engine {
	e := &Engine{Config: cfg, epochs: map[string]uint64{}, types: map[string]agents.Type{}, kinds: kinds.Of(cfg.Types), bell: newBell(), news: newQueue[news](), tokens: map[string]chan struct{}{}}
	e.promised.until = map[string]clock.Time{}
	if cfg.Cluster != nil {
		e.promised.lease = cfg.Cluster.Lease
	}
	e.safety.bare = cfg.Empty
	if e.Store != nil {
		e.promised.began = e.now()
	}
	if e.Meter == nil {
		e.Meter = nobody{}
	}
	for _, t := range cfg.Types {
		e.types[t.Name] = t
	}
	e.cluster.Store(cfg.Cluster)
	e.began.Store(cfg.Cluster)
	return e
}

// Snapshot is the latest state that the loop has seen; before the first one it is stale.
func (e *Engine) Snapshot() state.Snapshot {
	if s := e.snapshot.Load(); s != nil {
		return *s
	}
	return state.Snapshot{Stale: errors.New("nothing was heard from the cluster yet")}
}

// Cluster is the configuration that the loop runs.
func (e *Engine) Cluster() *resources.Cluster { return e.cluster.Load() }

// Report is how the resources on this node were a moment ago.
func (e *Engine) Report() state.Report {
	if r := e.report.Load(); r != nil {
		return *r
	}
	return state.Report{}
}

// Session is the node's presence; nil while it has none.
func (e *Engine) Session() *state.Session { return e.session.Load() }

// Run joins the cluster, does this node's part, and joins again whenever it has lost
// its lease, until ctx ends. Then it stops in good order what it owns, and leaves. It
// returns an error if something of that could not be proved to be stopped.
func (e *Engine) Run(ctx context.Context) error {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	listening, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	helpers.Go(func() { e.bell.listen(listening) })
	snapshots := e.Store.Watch(listening)
	for ctx.Err() == nil {
		if err := e.sweepAddresses(listening); err != nil {
			e.Log.Error("addresses of the cluster's may be here that could not be let go; this node takes no part until they are", "error", err)
			_ = e.pause(ctx, retryClean)
			continue
		}
		if err := e.life(ctx, snapshots); err != nil {
			return err
		}
	}
	return nil
}

// life is the time from one lease to the next. The presence does not wait for what a
// former daemon has left: it is what keeps others from taking that over.
func (e *Engine) life(ctx context.Context, snapshots <-chan state.Snapshot) error {
	sweeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	left := e.leftovers(ctx, e.glance())
	e.safety.find(left)
	sweeps := e.sweepAll(sweeping, left)
	if len(sweeps) > 0 {
		life := e.safety.now()
		go func() { _ = e.awaitSweeps(sweeping, sweeps, life) }()
	}
	session, err := e.join(ctx)
	if err != nil {
		const most = time.Minute
		ctx, cancel := context.WithTimeout(sweeping, most)
		defer cancel()
		return e.awaitSweeps(ctx, sweeps, e.safety.now())
	}
	e.safety.hold(session.Deadline)
	e.session.Store(session)
	e.tellPresent(true)
	err = e.serve(ctx, session, snapshots, sweeps)
	e.session.Store(nil)
	e.tellPresent(false)
	if ctx.Err() != nil {
		return err
	}
	e.Log.Error("the lease is lost; everything was let go", "reason", session.Err(), "error", err)
	return nil
}

const (
	retryClean = 3 * time.Second
	retryJoin  = 500 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pause is one of the loop, which counts as alive.
func (e *Engine) pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	e.await(ctx, nil, d)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return ctx.Err()
}

func (e *Engine) tellPresent(is bool) {
	if e.Present != nil {
		e.Present(is)
	}
}

func (e *Engine) alive() {
	if e.Alive != nil {
		e.Alive()
	}
}

// settle finds out what lease and margin the daemon goes by, from its first lease to its
// last: those that the cluster runs. The file on this node may be of long ago.
func (e *Engine) settle(ctx context.Context) error {
	c, err := e.Store.Config(ctx)
	switch {
	case errors.Is(err, state.ErrFormat):
		return nil // which is told by whoever watches it
	case err != nil || c.Rev == 0 || e.Parse == nil:
		return err
	}
	latest, err := e.Parse(c.TOML)
	if err != nil {
		return nil // which is told when it would be adopted
	}
	own := e.Config.Cluster
	switch {
	case latest.Lease == own.Lease && latest.Margin == own.Margin:
	case e.Fitted:
		e.Log.Warn("the lease and the margin of this node's file count here, as its watchdog was armed for them: put the cluster's configuration (mailhactl config show) into the file, and restart mailhad", "lease", own.Lease, "cluster", latest.Lease)
	default:
		e.began.Store(latest)
	}
	return nil
}

// join tries until ctx ends. The term is the same for all leases of this daemon.
func (e *Engine) join(ctx context.Context) (*state.Session, error) {
	said := ""
	for {
		var session *state.Session
		var err error
		done := make(chan struct{})
		patience := e.began.Load().Lease
		go func() {
			defer close(done)
			try, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if !e.termed {
				if err = e.settle(try); err != nil {
					return
				}
			}
			if e.Arrive != nil {
				if err = e.Arrive(try); err != nil {
					return
				}
			}
			c := e.began.Load()
			session, err = e.Store.Join(try, e.Node, state.Term{TTL: c.Lease, Margin: c.Margin})
		}()
		e.await(context.WithoutCancel(ctx), done, 2*patience)
		<-done // a process that stood still wakes up with all of its timers due
		if err == nil {
			e.termed = true
			return session, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if text := err.Error(); text != said { // it may take long
			said = text
			e.Log.Warn("not a part of the cluster yet", "error", err)
		}
		if err := e.pause(ctx, retryJoin); err != nil {
			return nil, err
		}
	}
}

// driver of a resource as it is configured now.
func (e *Engine) driver(r resources.Resource) (*driver, error) {
	t, ok := e.types[r.Kind]
	if !ok {
		return nil, fmt.Errorf("resource %s: there is no kind %q", r.Name, r.Kind)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tokens[r.Name] == nil {
		e.tokens[r.Name] = make(chan struct{}, 1)
	}
	env := agents.Env{StateDir: e.StateDir, Units: e.Units, Log: e.Log}
	if e.Extend != nil {
		env.Valid = e.valid
	}
	return newDriver(r, t, env, e.tokens[r.Name]), nil
}

func (e *Engine) see(s state.Snapshot) {
	e.forsake(context.Background(), s)
	e.mu.Lock()
	s.Promised = e.promised.of(e.Cluster(), e.now())
	e.mu.Unlock()
	e.snapshot.Store(&s)
	if e.Seen != nil {
		e.Seen(s)
	}
}

// outdate says why nothing is known of the cluster from now on: nobody looks at the watch
// without a lease.
func (e *Engine) outdate(why error) {
	s := e.Snapshot()
	if s.Stale == nil {
		s.Stale = why
	}
	e.snapshot.Store(&s)
	if e.Seen != nil {
		e.Seen(s)
	}
}
