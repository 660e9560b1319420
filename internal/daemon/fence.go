// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/failover"
	"github.com/mailha/mailha/internal/fencer"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// guns are the fence devices of this node, and its part in who uses them.
type guns struct {
	*fencer.Fencer
	devices *fencing.Fencer
	cluster func() *resources.Cluster
	log     *slog.Logger

	mu     sync.Mutex
	checks map[string]fencing.Check // by device, the latest
}

func newGuns(node string, c *resources.Cluster, p *pulse, engine *failover.Engine, store *state.Store, told func(state.ShotPhase), log *slog.Logger) (*guns, error) {
	g := &guns{cluster: engine.Cluster, log: log, checks: map[string]fencing.Check{}}
	var err error
	g.devices, err = fencing.New(fencing.Config{
		Devices: fencing.Devices(c), Node: node, Log: log,
		Answers: func(_ context.Context, node string) bool {
			sight, known := p.View().Node(node)
			return known && sight.State == heartbeat.Alive
		},
		Reached: g.reached, Grace: grace(c),
	})
	if err != nil {
		return nil, fmt.Errorf("the fence devices: %w", err)
	}
	g.Fencer = fencer.New(fencer.Config{
		Node: node, Devices: g.devices, Snapshot: engine.Snapshot, Cluster: engine.Cluster, View: p.View, Clock: clock.Boot{}.Now, End: store.EndWish, Told: told, Log: log,
		Records: func() fencer.Records {
			if s := engine.Session(); s != nil {
				return s
			}
			return nil
		},
	})
	return g, nil
}

// grace is how long a node that is off may count as alive: heartbeats tell only by their
// silence.
func grace(c *resources.Cluster) time.Duration {
	const late = time.Second
	return max(fencing.DefaultGrace, max(c.Heartbeat.SuspectMax, 3*c.Heartbeat.Interval)+late)
}

// reached says whether a node's kernel answers.
func (g *guns) reached(ctx context.Context, node string) bool {
	c := g.cluster()
	port := c.Etcd.PeerPort // which the nodes' firewalls let through
	if c.Etcd.External() {
		port = c.Heartbeat.Port
	}
	n, known := c.Node(node)
	return known && reached(ctx, port, n.Addresses)
}

// ready does its part in fencing, looks after the devices, and follows the
// configuration, until ctx ends.
func (g *guns) ready(ctx context.Context, feed *api.Feed, hearts <-chan struct{}) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { g.Run(ctx) })
	all.Go(func() { g.devices.Watch(ctx, g.checked) })
	c := g.cluster()
	for {
		_, newer := feed.Latest()
		if now := g.cluster(); now != c {
			if !reflect.DeepEqual(now.Fences, c.Fences) {
				g.set(now)
			}
			g.devices.Wait(grace(now))
			c = now
		}
		select {
		case <-ctx.Done():
			return
		case <-newer:
		case <-hearts:
		}
		g.Ring()
	}
}

func (g *guns) set(c *resources.Cluster) {
	if err := g.devices.Set(fencing.Devices(c)); err != nil {
		g.log.Error("fence devices stay as they were", "error", err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.checks, func(name string, _ fencing.Check) bool {
		return !slices.ContainsFunc(c.Fences, func(f resources.Fence) bool { return f.Name == name })
	})
}

// checked tells of devices that fail, and when they are well again.
func (g *guns) checked(c fencing.Check) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, known := g.checks[c.Device]
	g.checks[c.Device] = c
	switch {
	case !c.OK && (!known || before.OK || before.Reason != c.Reason):
		g.log.Error("a fence device cannot be relied on: mend it before it is needed", "device", c.Device, "reason", c.Reason)
	case c.OK && !before.OK:
		g.log.Info("a fence device answers", "device", c.Device, "took", c.Took)
	}
}

func (g *guns) latest() []fencing.Check {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.checks), func(a, b fencing.Check) int { return strings.Compare(a.Device, b.Device) })
}

// unfence lets this node in again where a device has shut it out, before it starts
// anything. What cannot be let in may still hold groups that do not need it.
func (g *guns) unfence(ctx context.Context) {
	const most = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if _, err := g.devices.Unfence(ctx); err != nil {
		g.log.Error("this node is shut out by a fence device, and was not let in again", "error", err)
	}
}
