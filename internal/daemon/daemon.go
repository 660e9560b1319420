// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/failover"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/metrics"
	"github.com/mailha/mailha/internal/poison"
	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

// Daemon is what mailhad is made of.
type Daemon struct {
	File     string // the configuration
	Node     string // the name of this node; empty: the host's
	Version  string
	StateDir string // of the agents and the socket, empty after a boot
	Types    []agents.Type
	Log      *slog.Logger
}

// load reads the configuration and finds this node in it.
func (d *Daemon) load() (*resources.Cluster, resources.Node, error) {
	data, err := os.ReadFile(d.File)
	if err != nil {
		return nil, resources.Node{}, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := resources.Parse(d.File, data, kinds.Of(d.Types))
	if err != nil {
		return nil, resources.Node{}, err
	}
	if d.Node == "" {
		if d.Node, err = os.Hostname(); err != nil {
			return nil, resources.Node{}, fmt.Errorf("find the name of this node: %w", err)
		}
	}
	if _, ok := c.Node(d.Node); !ok {
		return nil, resources.Node{}, fmt.Errorf("%s: this node, %s, is not in [[node]]; name it there as \"hostname\" prints it, or give -node to both ExecStart= and ExecStopPost= in a drop-in of mailhad.service: mailhactl(8), cluster join", d.File, d.Node)
	}
	c = d.latest(c)
	n, _ := c.Node(d.Node)
	return c, n, nil
}

// Run is the daemon until ctx ends.
func (d *Daemon) Run(ctx context.Context) error {
	cluster, node, err := d.load()
	if err != nil {
		return err
	}
	unlock, err := enrol.Lock(d.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	units := unit.New("", d.Log)
	defer units.Close()
	hound, err := machine().armed(ctx, cluster, node, d.idle(cluster, node, units).Bare, d.Log)
	if err != nil {
		return err
	}
	defer hound.end()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	client, member, closeClient, err := d.etcd(ctx, cluster, node, fail)
	if err != nil {
		return err
	}
	defer closeClient()
	heart, err := newPulse(cluster, node.Name, d.Log)
	if err != nil {
		return err
	}
	store, err := state.Open(client, state.Options{Cluster: cluster.Name, Agreed: heart.agreed, Log: d.Log})
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	status := newNotifier()
	feed := api.NewFeed()
	meter := metrics.New(d.Version).WithProcess()
	keeping := keep(enrol.Applied(cluster), d.Log)
	defer close(keeping)
	engine := failover.New(failover.Config{
		Meter:   meter,
		Node:    state.Node{Name: node.Name, Boot: boot, Version: d.Version, Key: heart.public},
		Cluster: cluster, Types: d.Types, Store: store, Units: units, StateDir: d.StateDir, Log: d.Log,
		Drop: vip.Drop, Extend: vip.Extend, Forsake: vip.Forsake, Alive: func() { status.alive(); hound.alive() }, Present: status.present, Seen: feed.Set, Witness: node.Witness, Empty: hound.guard != nil, Fitted: hound.guard != nil,
		Parse: func(text string) (*resources.Cluster, error) {
			return resources.Parse("the cluster's configuration", []byte(text), kinds.Of(d.Types))
		},
		File: func() (string, error) {
			data, err := os.ReadFile(d.File)
			return string(data), err
		},
		Adopted: keeping.adopted,
		// What fence_mailha knows of a former life of this node is over.
		Arrive: func(ctx context.Context) error {
			return poison.Open(client, cluster.Name).Rise(ctx, node.Name, boot)
		},
	})
	heart.engine = engine
	papers := newPapers(cluster, node, d.Log)
	meter.Add(measured(engine, store, papers))
	arms, err := newGuns(node.Name, cluster, heart, engine, store, meter.Shot, d.Log)
	if err != nil {
		return err
	}
	meter.AddSenses(metrics.Senses{Node: node.Name, Hearts: heart.View, Checks: arms.latest})
	server := api.New(api.Options{Senses: api.Senses{Hearts: heart.View, Checks: arms.latest, Certificate: papers.end}, Node: node.Name, Version: d.Version, Store: store, Snapshot: feed.Latest, Cluster: engine.Cluster,
		Survey: survey.State, Kinds: kinds.Of(d.Types), Metrics: meter.Handler(), Log: d.Log})
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served, err := d.serve(serving, server, engine.Cluster)
	if err != nil {
		stop()
		return err
	}
	go d.letIn(serving, cluster, node, client, store)
	go papers.keep(serving)
	if member != nil {
		go yield(serving, node.Name, member, engine.Snapshot, engine.Cluster, heart.View, d.Log)
	}
	var beating sync.WaitGroup
	defer beating.Wait()
	beating.Go(func() { heart.beat(serving, feed, d.Log) })
	beating.Go(func() { arms.ready(serving, feed, heart.Changed()) })
	arms.unfence(ctx)
	status.ready()
	hound.follow(engine.Safe, fail)
	err = engine.Run(ctx)
	hound.end()
	status.stopping()
	stop()
	return errors.Join(err, served(), failure(ctx))
}

// serve answers on the unix socket, and wherever else the configuration wants it, until
// ctx ends. The function that it returns waits for that.
func (d *Daemon) serve(ctx context.Context, server *api.Server, configured func() *resources.Cluster) (wait func() error, err error) {
	l, err := api.Listen(ctx, api.Socket, api.SocketGroup)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	var others sync.WaitGroup
	for _, door := range doors(server) {
		others.Go(func() { door.keep(ctx, func() resources.API { return configured().API }, d.Log) })
	}
	return func() error {
		others.Wait()
		return <-ended
	}, nil
}

// measured is what a scrape asks for.
func measured(e *failover.Engine, store *state.Store, papers *papers) metrics.Node {
	return metrics.Node{
		Report: e.Report,
		Held: func() ([]vip.Holding, error) {
			const patience = time.Second
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return vip.Owned(ctx)
		},
		Lease: func() (time.Duration, bool) {
			s := e.Session()
			if s == nil {
				return 0, false
			}
			return s.Deadline().Sub(store.Time().Now()), true
		},
		Quorum:      func() bool { return e.Snapshot().Stale == nil },
		Certificate: papers.end,
	}
}

// failure is why the daemon had to end by itself; nil: it was told to.
func failure(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// etcd is this node's member of the cluster with a client, or a client of the operator's
// own and no member.
func (d *Daemon) etcd(ctx context.Context, c *resources.Cluster, n resources.Node, fail func(error)) (*quorum.Client, *quorum.Member, func(), error) {
	if c.Etcd.External() {
		client, err := quorum.Dial(quorum.Endpoints{URLs: c.Etcd.Endpoints, TLS: quorum.Files{CA: c.Etcd.CAFile, Cert: c.Etcd.CertFile, Key: c.Etcd.KeyFile}, Log: d.Log})
		if err != nil {
			return nil, nil, nil, err
		}
		go d.advise(ctx, client)
		return client, nil, func() { _ = client.Close() }, nil
	}
	const patience = 30 * time.Second // others may not be there yet, which is no reason to give up
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := quorum.Start(starting, enrol.Member(c, n, d.Log))
	if err != nil {
		return nil, nil, nil, err
	}
	go func() {
		<-m.Done()
		if err := m.Err(); err != nil {
			fail(fmt.Errorf("this node's member of etcd has failed: %w", err))
		}
	}()
	return m.Client(), m, func() {
		if m.Err() != nil {
			return // it cannot be closed any more
		}
		const most = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			d.Log.Warn("etcd did not end in order", "error", err)
		}
	}, nil
}

// advise says in the log what is wrong with an etcd of the operator's own.
func (d *Daemon) advise(ctx context.Context, client *quorum.Client) {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sentences, err := quorum.Advise(ctx, client)
	for _, s := range sentences {
		d.Log.Warn(s)
	}
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("not all of etcd answers", "error", err)
	}
}

// letIn serves nodes that come into the cluster, and those that need a new certificate,
// until ctx ends. A node that does not hold the authority lets nobody in.
func (d *Daemon) letIn(ctx context.Context, c *resources.Cluster, n resources.Node, client *quorum.Client, store *state.Store) {
	if c.Etcd.External() || len(n.Addresses) == 0 {
		return
	}
	door := enrol.Door(c, client, store, d.File, d.Log)
	srv, err := door.Server()
	if err != nil {
		d.Log.Warn("nodes cannot join here", "error", err)
		return
	}
	srv.Addr = netip.AddrPortFrom(n.Addresses[0], enrol.Port).String()
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.ListenAndServeTLS("", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
		d.Log.Warn("nodes cannot join here", "error", err)
	}
}

// Clean stops everything of the cluster's on this node, for whoever ends the daemon by
// force: it needs neither etcd nor a lease.
func (d *Daemon) Clean(ctx context.Context) error {
	cluster, node, err := d.load()
	if err != nil {
		_, dropErr := vip.Drop(ctx)
		return errors.Join(err, dropErr)
	}
	units := unit.New("", d.Log)
	defer units.Close()
	return d.idle(cluster, node, units).Clean(ctx)
}

// idle is a loop that does not run: it needs neither etcd nor a lease.
func (d *Daemon) idle(c *resources.Cluster, n resources.Node, units failover.Units) *failover.Engine {
	return failover.New(failover.Config{Node: state.Node{Name: n.Name}, Cluster: c, Types: d.Types, Units: units, StateDir: d.StateDir, Log: d.Log, Drop: vip.Drop})
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("which boot this is: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// NewLog writes for systemd's journal, which adds time and origin by itself.
func NewLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
