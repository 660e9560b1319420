// SPDX-License-Identifier: Apache-2.0

// Package apitest is a cluster in a test's memory, and its API on a unix socket:
// what is asked for is kept as etcd would keep it, and the test plays the nodes.
//
// It must never be linked into a program.
package apitest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
)

// Now is the time in the cluster.
var Now = time.Date(2026, time.November, 22, 4, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// Config is of three nodes, of which the third is a witness, and two groups.
const Config = `
[cluster]
name = "mail"

[[node]]
name = "n1"
address = "192.0.2.1"
[[node]]
name = "n2"
address = "192.0.2.2"
[[node]]
name = "n3"
address = "192.0.2.3"
witness = true

[[group]]
name = "mx"
nodes = ["n1", "n2"]
[[group]]
name = "box"
nodes = ["n2", "n1"]
apart_from = ["mx"]

[[resource]]
name = "mx-ip"
kind = "vip"
group = "mx"
params = { ip = ["192.0.2.10/24", "2001:db8::10/64"] }
[[resource]]
name = "postfix"
kind = "mta"
group = "mx"
after = ["mx-ip"]
params = { shared_ip = ["192.0.2.10", "2001:db8::10"], config_dir = "/etc/postfix" }
[[resource]]
name = "box-ip"
kind = "vip"
group = "box"
params = { ip = "192.0.2.20/24" }
[[resource]]
name = "dovecot"
kind = "store"
group = "box"
after = ["box-ip"]
on_failure = "stop"
params = { shared_ip = "192.0.2.20", mail_dir = "/srv/mail" }
`

// Cluster is the state that the API shows and changes.
type Cluster struct {
	Socket string
	Feed   *api.Feed
	Server *api.Server

	mu       sync.Mutex
	snapshot state.Snapshot
	cluster  *resources.Cluster
	events   []state.Event
	conflict int   // changes that are yet to meet somebody quicker
	fail     error // of all changes
}

// Serve runs the API of node n1 for as long as the test does: both groups run on
// the nodes that they prefer, and all is well.
func Serve(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{Socket: filepath.Join(t.TempDir(), "mailhad.sock"), Feed: api.NewFeed()}
	c.Configure(t, Config)
	c.snapshot.Config = state.Config{TOML: Config, By: "root", Since: Now.Add(-48 * time.Hour), Rev: 5}
	c.Change(func(s *state.Snapshot) { populate(s) })
	c.Server = api.New(api.Options{
		Node: "n1", Version: "1.2.3", Store: c, Snapshot: c.Feed.Latest, Cluster: c.Cluster, Survey: survey.State,
		Kinds: kinds.Of(suite.Types()), Now: func() time.Time { return Now }, Clock: clock.NewDouble(),
	})
	l, err := api.Listen(t.Context(), c.Socket, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- c.Server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func populate(s *state.Snapshot) {
	s.Nodes, s.Groups, s.Reports = map[string]state.Node{}, map[string]state.Group{}, map[string]state.Report{}
	s.Gone = map[string]clock.Time{}
	for i, name := range []string{"n1", "n2", "n3"} {
		s.Nodes[name] = state.Node{Name: name, Boot: "b", Version: "1.2.3", Since: Now.Add(-26 * time.Hour), Session: state.SessionID(i + 1), Rev: 6}
	}
	own := func(group, node string) {
		s.Groups[group] = state.Group{
			Name: group, Owner: node, Session: s.Nodes[node].Session, Epoch: 3, Phase: state.Running,
			Since: Now.Add(-3 * time.Hour), Why: "first start", Rev: 7,
		}
	}
	own("mx", "n1")
	own("box", "n2")
	up := func(name, group, kind string, addresses ...string) state.ResourceReport {
		return state.ResourceReport{Name: name, Group: group, Kind: kind, Phase: state.ResourceStarted, Since: Now.Add(-3 * time.Hour), Addresses: addresses}
	}
	s.Reports["n1"] = state.Report{Node: "n1", At: Now, Resources: []state.ResourceReport{
		up("mx-ip", "mx", "vip", "192.0.2.10", "2001:db8::10"), up("postfix", "mx", "mta"),
	}}
	s.Reports["n2"] = state.Report{Node: "n2", At: Now, Resources: []state.ResourceReport{
		up("box-ip", "box", "vip", "192.0.2.20"), up("dovecot", "box", "store"),
	}}
}

// Cluster is the configuration that the node runs.
func (c *Cluster) Cluster() *resources.Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// Configure makes a text the one that the node runs; empty: none.
func (c *Cluster) Configure(t testing.TB, text string) {
	t.Helper()
	var parsed *resources.Cluster
	if text != "" {
		var err error
		if parsed, err = resources.Parse("mailha.toml", []byte(text), kinds.Of(suite.Types())); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cluster = parsed
}

// Change changes the state, as nodes do.
func (c *Cluster) Change(how func(*state.Snapshot)) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.change(how)
}

// change works on a copy of what others have got.
func (c *Cluster) change(how func(*state.Snapshot)) int64 {
	s := c.snapshot
	s.Wishes = slices.Clone(s.Wishes)
	s.Nodes, s.Groups, s.Reports, s.Gone = clone(s.Nodes), clone(s.Groups), clone(s.Reports), clone(s.Gone)
	s.Revision = max(s.Revision, 9) + 1
	how(&s)
	c.snapshot = s
	c.Feed.Set(s)
	return s.Revision
}

func clone[V any](m map[string]V) map[string]V {
	out := map[string]V{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Report changes what a node says of a resource.
func (c *Cluster) Report(node, resource string, how func(*state.ResourceReport)) {
	c.Change(func(s *state.Snapshot) {
		r := s.Reports[node]
		r.Resources = slices.Clone(r.Resources)
		for i := range r.Resources {
			if r.Resources[i].Name == resource {
				how(&r.Resources[i])
			}
		}
		s.Reports[node] = r
	})
}

// Wishes are those that there are.
func (c *Cluster) Wishes() []state.Wish {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.snapshot.Wishes)
}

// Conflict has the next changes meet somebody who was quicker.
func (c *Cluster) Conflict(times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conflict = times
}

// Fail has all changes fail; nil: none.
func (c *Cluster) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// begin is the start of a change of a record, as seen at a revision.
func (c *Cluster) begin(seen, now int64) error {
	if c.fail != nil {
		return fmt.Errorf("write to etcd: %w", c.fail)
	}
	if c.conflict > 0 {
		c.conflict--
		c.change(func(*state.Snapshot) {})
		return fmt.Errorf("write to etcd: %w", state.ErrConflict)
	}
	if seen != now {
		return state.ErrConflict
	}
	return nil
}

// PutWish is a store's.
func (c *Cluster) PutWish(_ context.Context, w state.Wish) (state.Wish, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.snapshot.Wishes, w.Same)
	now := int64(0)
	if i >= 0 {
		now = c.snapshot.Wishes[i].Rev
	}
	if err := c.begin(w.Rev, now); err != nil {
		return state.Wish{}, err
	}
	c.change(func(s *state.Snapshot) {
		w.Rev = s.Revision
		if i >= 0 {
			s.Wishes[i] = w
		} else {
			s.Wishes = append(s.Wishes, w)
		}
	})
	c.events = append(c.events, state.Event{At: Now, By: w.By, Node: w.Node, Group: w.Group, Resource: w.Resource, What: "asked for " + w.String()})
	return w, nil
}

// EndWish is a store's.
func (c *Cluster) EndWish(_ context.Context, w state.Wish, by, why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.snapshot.Wishes, w.Same)
	if i < 0 {
		return state.ErrConflict
	}
	if err := c.begin(w.Rev, c.snapshot.Wishes[i].Rev); err != nil {
		return err
	}
	c.change(func(s *state.Snapshot) { s.Wishes = slices.Delete(s.Wishes, i, i+1) })
	c.events = append(c.events, state.Event{At: Now, By: by, Group: w.Group, Resource: w.Resource, What: "ended " + w.String()})
	return nil
}

// PutConfig is a store's.
func (c *Cluster) PutConfig(_ context.Context, cfg state.Config) (state.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(cfg.Rev, c.snapshot.Config.Rev); err != nil {
		return state.Config{}, err
	}
	c.change(func(s *state.Snapshot) {
		cfg.Rev, cfg.Since = s.Revision, Now
		s.Config = cfg
	})
	return cfg, nil
}

// Forgive is a store's.
func (c *Cluster) Forgive(_ context.Context, g state.Group, resource, _ string) (state.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(g.Rev, c.snapshot.Groups[g.Name].Rev); err != nil {
		return c.snapshot.Groups[g.Name], err
	}
	c.change(func(s *state.Snapshot) {
		g.Failures = slices.DeleteFunc(slices.Clone(g.Failures), func(f state.Failure) bool { return resource == "" || f.Resource == resource })
		g.Rev = s.Revision
		s.Groups[g.Name] = g
	})
	return g, nil
}

// Release is a store's.
func (c *Cluster) Release(_ context.Context, g state.Group, by string) (state.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(g.Rev, c.snapshot.Groups[g.Name].Rev); err != nil {
		return c.snapshot.Groups[g.Name], err
	}
	if _, present := c.snapshot.Nodes[g.Owner]; present && g.Phase != state.Failed {
		return g, state.ErrOwned
	}
	c.change(func(s *state.Snapshot) {
		g.Former, g.Owner, g.Session, g.Phase, g.Why, g.Rev = g.Owner, "", 0, state.Free, by+" says so", s.Revision
		s.Groups[g.Name] = g
	})
	return g, nil
}

// Events is a store's.
func (c *Cluster) Events(_ context.Context, limit int) ([]state.Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events[max(0, len(c.events)-limit):]), nil
}

// Happen notes events.
func (c *Cluster) Happen(all ...state.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, all...)
}
