// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/resources"
)

// world is what really runs where, whatever anybody believes.
type world struct {
	freed  atomic.Int64 // starts that were told that the former owner has just proved its stop
	mu     sync.Mutex
	things map[[2]string]*thing // by node and resource
	dead   map[string]bool      // switched off
	faults map[string]fault     // by "node/resource/operation", each of which may be *
	mercy  bool                 // no stop fails any more once a lease is lost
	fenced func(string) bool    // a node on which nothing may be any more; nil: none
	story  []happening
	wrong  []string
}

// thing is a resource on a node, as far as it is there.
type thing struct {
	whole, failed, promoted, unwell bool
	epoch                           uint64
	params                          map[string]string
}

// fault is how an operation goes wrong.
type fault struct {
	err   error
	hang  bool // it ignores its context
	panic bool
	last  time.Duration // how long it takes; 0: a moment
	once  bool          // not again
}

// happening is something that was seen from outside.
type happening struct {
	at                   time.Time
	node, resource, what string
	params               map[string]string
}

func newWorld() *world {
	return &world{things: map[[2]string]*thing{}, dead: map[string]bool{}, faults: map[string]fault{}}
}

func (w *world) note(node, resource, what string, params map[string]string) {
	w.story = append(w.story, happening{time.Now(), node, resource, what, params})
}

// begin is when something of it may be there from.
func (w *world) begin(node, resource string, epoch uint64, params map[string]string, warm bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead[node] {
		return
	}
	for at := range w.things {
		if !warm && at[1] == resource && at[0] != node {
			if w.fenced != nil && w.fenced(at[0]) {
				w.cut(at[0])
				continue
			}
			w.wrong = append(w.wrong, fmt.Sprintf("%s is started on %s while it is on %s", resource, node, at[0]))
		}
	}
	w.note(node, resource, "start", params)
	w.things[[2]string{node, resource}] = &thing{epoch: epoch, params: params}
}

func (w *world) on(node, resource string, f func(*thing)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	th := w.things[[2]string{node, resource}]
	if th != nil && f != nil {
		f(th)
	}
	return th != nil
}

func (w *world) gone(node, resource string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.things[[2]string{node, resource}] != nil {
		w.note(node, resource, "stop", nil)
	}
	delete(w.things, [2]string{node, resource})
}

// where lists the nodes on which a resource runs whole, in order.
func (w *world) where(resource string) (nodes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, th := range w.things {
		if at[1] == resource && th.whole && !th.failed {
			nodes = append(nodes, at[0])
		}
	}
	slices.Sort(nodes)
	return nodes
}

// off cuts the power.
func (w *world) off(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut(node)
}

func (w *world) cut(node string) {
	w.dead[node] = true
	for at := range w.things {
		if at[0] == node {
			delete(w.things, at)
		}
	}
}

func (w *world) set(where string, f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[where] = f
}

// faultless says whether nothing is to go wrong any more.
func (w *world) faultless() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) == 0
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = map[string]fault{}
}

func (w *world) fault(node, resource, what string) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range []string{node, "*"} {
		for _, r := range []string{resource, "*"} {
			if f, ok := w.faults[n+"/"+r+"/"+what]; ok {
				if f.once {
					delete(w.faults, n+"/"+r+"/"+what)
				}
				return f
			}
		}
	}
	return fault{}
}

// happened counts what was seen.
func (w *world) happened(node, resource, what string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.story {
		if h.node == node && h.resource == resource && h.what == what {
			n++
		}
	}
	return n
}

// order is what was seen of some resources, as "start a, stop b".
func (w *world) order() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, h := range w.story {
		all = append(all, h.what+" "+h.resource)
	}
	return strings.Join(all, ", ")
}

// types are the kinds of agents on one node. Those of a daemon that was killed do
// nothing any more when alive says so.
func (w *world) types(node string, alive func() bool) []agents.Type {
	make := func(name string, promotes bool) agents.Type {
		return agents.Type{
			Name:    name,
			Actions: []agents.Action{{Name: "start", Timeout: 2 * time.Second}, {Name: "stop", Timeout: 2 * time.Second}, {Name: "monitor", Timeout: time.Second, Interval: time.Second}},
			New: func(env agents.Env) agents.Agent {
				a := &agent{world: w, node: node, env: env, alive: alive, promotes: promotes}
				if promotes {
					return leader{a}
				}
				return a
			},
		}
	}
	return []agents.Type{make("service", false), make("mta", false), make("filesystem", false), make("directory", true)}
}

// agent is the double of one.
type agent struct {
	world    *world
	node     string
	env      agents.Env
	alive    func() bool
	promotes bool
	soft     agents.Text
	hard     agents.Text
}

func (a *agent) Params() agents.Table {
	return agents.Table{
		{Name: "soft", Value: &a.soft, Reloadable: true, Short: "x", Long: "x"},
		{Name: "hard", Value: &a.hard, Short: "x", Long: "x"},
	}
}

func (a *agent) values() map[string]string {
	return map[string]string{"soft": string(a.soft), "hard": string(a.hard)}
}

var errDaemonGone = errors.New("the daemon is gone")

// suffer is what an operation takes and how it fails.
func (a *agent) suffer(ctx context.Context, what string) error {
	f := a.world.fault(a.node, a.env.Instance, what)
	if f.panic {
		panic("as asked for")
	}
	if f.hang {
		for {
			time.Sleep(10 * time.Millisecond)
			if !a.world.fault(a.node, a.env.Instance, what).hang {
				return errors.New("it hung")
			}
		}
	}
	last := f.last
	if last == 0 {
		last = 2 * time.Millisecond
	}
	select {
	case <-time.After(last):
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.alive != nil && !a.alive() {
		return errDaemonGone
	}
	return f.err
}

func (a *agent) Start(ctx context.Context) error {
	if a.alive != nil && !a.alive() {
		return errDaemonGone
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name := a.env.Instance
	if a.env.Freed {
		a.world.freed.Add(1)
	}
	warm := a.promotes || a.env.Kind == "mta" // by its nature, however it is used
	if running := a.world.on(a.node, name, nil); !running {
		a.world.begin(a.node, name, a.env.Epoch, a.values(), warm)
	}
	if err := a.suffer(ctx, "start"); err != nil {
		return err
	}
	a.world.on(a.node, name, func(th *thing) { th.whole, th.failed = true, false })
	return nil
}

func (a *agent) Stop(ctx context.Context) error {
	if a.alive != nil && !a.alive() {
		return nil // so that what is left of the daemon ends soon
	}
	if err := a.suffer(ctx, "stop"); err != nil {
		return err
	}
	a.world.gone(a.node, a.env.Instance)
	return nil
}

func (a *agent) Monitor(ctx context.Context, _ agents.Depth) error {
	if a.alive != nil && !a.alive() {
		return agents.ErrNotRunning
	}
	if err := a.suffer(ctx, "monitor"); err != nil {
		return err
	}
	err := agents.ErrNotRunning
	a.world.on(a.node, a.env.Instance, func(th *thing) {
		switch {
		case th.failed || !th.whole:
			err = errors.New("it is broken")
		case th.unwell:
			err = fmt.Errorf("%w: it limps", agents.ErrDegraded)
		default:
			err = nil
		}
		if th.promoted {
			err = agents.Promoted{Err: err}
		}
	})
	return err
}

func (a *agent) Validate(context.Context, agents.Depth) error { return nil }

func (a *agent) Reload(ctx context.Context) error {
	if err := a.suffer(ctx, "reload"); err != nil {
		return err
	}
	a.world.on(a.node, a.env.Instance, func(th *thing) {
		th.params = a.values()
		a.world.note(a.node, a.env.Instance, "reload", th.params)
	})
	return nil
}

// leader is an agent of a resource that can be promoted.
type leader struct{ *agent }

func (a leader) Promote(ctx context.Context) error {
	if err := a.suffer(ctx, "promote"); err != nil {
		return err
	}
	if !a.world.on(a.node, a.env.Instance, func(th *thing) {
		th.promoted, th.epoch = true, a.env.Epoch
		a.world.note(a.node, a.env.Instance, "promote", nil)
		for at, other := range a.world.things {
			if at[1] == a.env.Instance && at[0] != a.node && other.promoted {
				a.world.wrong = append(a.world.wrong, fmt.Sprintf("%s is promoted on %s and %s", at[1], a.node, at[0]))
			}
		}
	}) {
		return agents.ErrNotRunning
	}
	return nil
}

func (a leader) Demote(ctx context.Context) error {
	if a.alive != nil && !a.alive() {
		return nil
	}
	if err := a.suffer(ctx, "demote"); err != nil {
		return err
	}
	if !a.world.on(a.node, a.env.Instance, func(th *thing) {
		th.promoted = false
		a.world.note(a.node, a.env.Instance, "demote", nil)
	}) {
		return agents.ErrNotRunning
	}
	return nil
}

func kindsOf(types []agents.Type) resources.Kinds { return kinds.Of(types) }
