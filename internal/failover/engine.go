// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/agents"
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
	Log  *slog.Logger
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
	// Witness: it is present and runs nothing.
	Witness bool
	// Alive is called by the loop itself whenever it has gone round, at least each
	// third of a lease; nil: nobody asks.
	Alive func()
}

// Engine is the control loop of one node. Make it by New, and Run it once.
type Engine struct {
	Config
	types map[string]agents.Type
	bell  *bell
	news  chan news

	session  atomic.Pointer[state.Session]
	snapshot atomic.Pointer[state.Snapshot]
	cluster  atomic.Pointer[resources.Cluster]

	// What follows belongs to the loop.
	adopted int64 // revision of the configuration
	drivers map[string]*driver
	owned   map[string]*owned  // by group
	standby map[string]*tenure // what runs everywhere, by group
}

// owned is a group that this node owns, or has to give up.
type owned struct {
	record state.Group
	tenure *tenure
	asked  bool // it was told to end
	ended  bool
	retry  time.Time // not to be written before
}

// New makes a loop. It does nothing yet.
func New(cfg Config) *Engine {
	e := &Engine{Config: cfg, types: map[string]agents.Type{}, bell: newBell(), news: make(chan news, 256)}
	for _, t := range cfg.Types {
		e.types[t.Name] = t
	}
	e.cluster.Store(cfg.Cluster)
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

// Session is the node's presence; nil while it has none.
func (e *Engine) Session() *state.Session { return e.session.Load() }

// Clean stops everything of the cluster's on this node, without asking anybody. It is
// for a node on which no loop runs.
func (e *Engine) Clean(ctx context.Context) error { return e.clean(ctx) }

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
	for {
		if err := e.clean(context.WithoutCancel(ctx)); err != nil {
			e.Log.Error("something of the cluster's is here that could not be stopped; this node takes no part until it is", "error", err)
			if pause(ctx, retryClean) != nil {
				return err
			}
			continue
		}
		session, err := e.join(ctx)
		if err != nil {
			return nil // ctx has ended; nothing runs here
		}
		err = e.serve(ctx, session, snapshots)
		e.session.Store(nil)
		e.tellPresent(false)
		if ctx.Err() != nil {
			return err
		}
		e.Log.Error("the lease is lost; everything was let go", "error", err)
	}
}

const (
	retryClean = 3 * time.Second
	retryJoin  = 500 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
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

// join tries until ctx ends.
func (e *Engine) join(ctx context.Context) (*state.Session, error) {
	c := e.Cluster()
	said := ""
	for {
		e.alive()
		try, cancel := context.WithTimeout(ctx, c.Lease)
		session, err := e.Store.Join(try, e.Node, state.Term{TTL: c.Lease, Margin: c.Margin})
		cancel()
		if err == nil {
			e.session.Store(session)
			e.tellPresent(true)
			return session, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if text := err.Error(); text != said { // it may take long
			said = text
			e.Log.Warn("not a part of the cluster yet", "error", err)
		}
		if err := pause(ctx, retryJoin); err != nil {
			return nil, err
		}
	}
}

// clean stops everything of the cluster's on this node: whoever has no lease may have
// nothing. Addresses go first.
func (e *Engine) clean(ctx context.Context) error {
	const most = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	dropped, dropErr := e.Drop(ctx)
	for _, h := range dropped {
		e.Log.Warn("an address was here that nobody held a lease for", "address", h.Addr, "interface", h.Interface)
	}
	e.drivers = map[string]*driver{}
	e.owned, e.standby = map[string]*owned{}, map[string]*tenure{}
	errs := []error{dropErr}
	for _, g := range e.Cluster().Groups {
		errs = append(errs, e.cleanGroup(ctx, g))
	}
	return errors.Join(errs...)
}

// cleanGroup stops the last first.
func (e *Engine) cleanGroup(ctx context.Context, g resources.Group) error {
	var errs []error
	for i := len(g.Resources) - 1; i >= 0; i-- {
		e.alive()
		d, err := e.driver(g.Resources[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		const glance = 10 * time.Second
		if d.gone(ctx, glance) == nil {
			continue
		}
		if err := d.stop(ctx, d.resource.StopTimeout); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.resource.Name, err))
		}
	}
	return errors.Join(errs...)
}

// driver is the one driver of a resource, so that no two operations meet.
func (e *Engine) driver(r resources.Resource) (*driver, error) {
	if d, ok := e.drivers[r.Name]; ok {
		d.resource = r
		return d, nil
	}
	t, ok := e.types[r.Kind]
	if !ok {
		return nil, fmt.Errorf("resource %s: there is no kind %q", r.Name, r.Kind)
	}
	d := newDriver(r, t, agents.Env{StateDir: e.StateDir, Units: e.Units, Log: e.Log})
	e.drivers[r.Name] = d
	return d, nil
}

// members makes what a tenure works with: of a group that is owned everything, and
// otherwise what runs everywhere.
func (e *Engine) members(g resources.Group, owned bool) ([]*member, error) {
	var members []*member
	for _, r := range g.Resources {
		warm := r.Standby == resources.Warm
		if !owned && !warm {
			continue
		}
		d, err := e.driver(r)
		if err != nil {
			return nil, err
		}
		m := &member{driver: d, since: time.Now()}
		switch {
		case owned && warm && d.promotes():
			m.role = leading
		case owned && warm:
			m.role = leaning
		}
		members = append(members, m)
	}
	return members, nil
}

// hear never blocks a tenure: the loop takes news at once, or all of it is over.
func (e *Engine) hear(n news) { e.news <- n }

func (e *Engine) see(s state.Snapshot) {
	e.snapshot.Store(&s)
	if e.Seen != nil {
		e.Seen(s)
	}
}
