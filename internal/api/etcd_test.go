// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/api/apitest"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
)

// The store is etcd's, and all of it goes through a socket: what an operator asks
// for is there for every node to see, with the operator's name.
func TestOnEtcd(t *testing.T) {
	store, err := state.Open(quorumtest.Single(t).Client(), state.Options{Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	feed := api.NewFeed()
	go func() {
		for s := range store.Watch(ctx) {
			feed.Set(s)
		}
	}()
	all := kinds.Of(suite.Types())
	server := api.New(api.Options{
		Node: "n1", Version: "1", Store: store, Snapshot: feed.Latest, Kinds: all, Survey: survey.State,
		Cluster: func() *resources.Cluster { // as a daemon does that has read the file from etcd
			s, _ := feed.Latest()
			c, err := resources.Parse("etcd", []byte(s.Config.TOML), all)
			if err != nil {
				return nil
			}
			return c
		},
	})
	path := filepath.Join(t.TempDir(), "mailhad.sock")
	l, err := api.Listen(ctx, path, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	client := api.Dial(path)

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	// A new cluster has nothing, and is given its first configuration.
	await(t, client, "an empty state", func(s api.Status) bool { return !s.Stale && s.Cluster == "" })
	review, err := client.Review(ctx, api.ConfigChange{TOML: apitest.Config})
	if err != nil || review.Refused() || len(review.Changes) == 0 {
		t.Fatalf("the first file: %+v, %v", review, err)
	}
	if done, err := client.Apply(ctx, api.ConfigChange{TOML: apitest.Config, Force: true}); err != nil || done.Revision == 0 {
		t.Fatalf("the first file: %+v, %v", done, err)
	}
	for _, name := range []string{"n1", "n2"} {
		n, err := store.Join(ctx, state.Node{Name: name, Boot: "b", Version: "1"}, state.Term{TTL: 60 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if name == "n1" {
			g, err := n.Take(ctx, state.Group{Name: "mx"}, state.Claim{Why: "first start"})
			if err != nil {
				t.Fatal(err)
			}
			g.Phase, g.Failures = state.Running, []state.Failure{{Node: "n1", Resource: "postfix", At: time.Now()}}
			if _, err := n.Put(ctx, g); err != nil {
				t.Fatal(err)
			}
			if err := n.Report(ctx, state.Report{Resources: []state.ResourceReport{{Name: "postfix", Group: "mx", Kind: "mta", Phase: state.ResourceStarted}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, client, "mx on n1", func(s api.Status) bool {
		return len(s.Groups) == 2 && s.Groups[0].Node == "n1" && s.Groups[0].Resources[1].Phase == "started" && s.Nodes[1].State == api.Online
	})

	ask := func(what string, do func() (api.Done, error)) {
		t.Helper()
		done, err := do()
		if err != nil || done.Already {
			t.Errorf("%s: %+v, %v", what, done, err)
			return
		}
		// Whoever asks next sees it.
		if s, err := client.Status(ctx); err != nil || s.Revision < done.Revision {
			t.Errorf("%s: done at %d, seen at %d, %v", what, done.Revision, s.Revision, err)
		}
	}
	post := func(change api.Change, parts ...string) func() (api.Done, error) {
		return func() (api.Done, error) { return client.Ask(ctx, api.Path(parts...), change) }
	}
	undo := func(parts ...string) func() (api.Done, error) {
		return func() (api.Done, error) { return client.Undo(ctx, api.Path(parts...)) }
	}
	ask("move", post(api.Change{Why: "update"}, "groups", "mx", "move"))
	ask("unmove", undo("groups", "mx", "move"))
	ask("ban", post(api.Change{For: 60}, "groups", "mx", "bans", "n2"))
	ask("ban for longer", post(api.Change{For: 600}, "groups", "mx", "bans", "n2"))
	ask("unban", undo("groups", "mx", "bans"))
	ask("standby", post(api.Change{}, "nodes", "n2", "standby"))
	ask("online", undo("nodes", "n2", "standby"))
	ask("stop", post(api.Change{}, "resources", "postfix", "stop"))
	ask("start", undo("resources", "postfix", "stop"))
	ask("restart", post(api.Change{}, "resources", "postfix", "restart"))
	ask("stop group", post(api.Change{}, "groups", "mx", "stop"))
	ask("start group", undo("groups", "mx", "stop"))
	ask("maintenance", post(api.Change{For: 60}, "maintenance"))
	ask("its end", undo("maintenance"))

	s, err := client.Status(ctx)
	if err != nil || len(s.Wishes) != 1 || s.Wishes[0].Kind != "restart" || s.Wishes[0].By != me.Username {
		t.Errorf("wishes are left: %+v, %v", s.Wishes, err)
	}
	if s.Groups[0].Failures != 0 {
		t.Error("the start did not forgive")
	}
	events, err := client.Events(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, e := range events.Events {
		if strings.HasPrefix(e.What, "asked for ") || strings.HasPrefix(e.What, "ended ") || strings.Contains(e.What, "configuration") || strings.Contains(e.What, "forgiven") {
			told[e.By] = true
		}
	}
	if len(told) != 1 || !told[me.Username] {
		t.Errorf("who asked: %v in %+v", told, events.Events)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, c *api.Client, what string, as func(api.Status) bool) {
	t.Helper()
	found := false
	err := c.Watch(t.Context(), func(s api.Status) error {
		if found = as(s); found {
			return context.Canceled
		}
		return nil
	})
	if !found {
		t.Fatalf("%s did not come: %v", what, err)
	}
}
