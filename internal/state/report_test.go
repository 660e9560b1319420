// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/state"
)

func TestReportLivesAsLongAsItsNode(t *testing.T) {
	c := newCluster(t)
	n1, n2 := c.join("n1", 10*time.Second), c.join("n2", 10*time.Second)
	r := state.Report{Resources: []state.ResourceReport{
		{Name: "vip", Group: "mail", Kind: "vip", Phase: state.ResourceStarted, Addresses: []string{"192.0.2.10"}},
		{Name: "mta", Group: "mail", Kind: "mta", Phase: state.ResourceDraining, Sessions: 3, Work: 2, Left: 1500 * time.Millisecond, Failures: 1, Detail: "waits"},
	}}
	if err := n1.Report(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := n2.Report(t.Context(), state.Report{}); err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(t.Context())
	s := await(t, watch, "both reports", func(s state.Snapshot) bool { return len(s.Reports) == 2 })
	got := s.Reports["n1"]
	if got.Session != n1.Node().Session || got.Node != "n1" || got.At.IsZero() || got.Rev == 0 {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(r.Resources, got.Resources); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if one, ok := got.Resource("mta"); !ok || one.Work != 2 {
		t.Errorf("got %+v", one)
	}
	if _, ok := got.Resource("store"); ok {
		t.Error("found what it does not have")
	}
	// A change comes through the watch, and the end of the presence takes it away.
	r.Resources[1].Sessions = 1
	if err := n1.Report(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	await(t, watch, "the change", func(s state.Snapshot) bool {
		one, _ := s.Reports["n1"].Resource("mta")
		return one.Sessions == 1
	})
	if err := n1.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, watch, "the report's end", func(s state.Snapshot) bool { return len(s.Reports) == 1 })
	if err := n1.Report(t.Context(), r); !errors.Is(err, state.ErrLost) {
		t.Errorf("after the end: %v", err)
	}
}

func TestReportNeedsPresence(t *testing.T) {
	c := newCluster(t)
	n := c.join("n1", 60*time.Second)
	if _, err := c.client.Revoke(t.Context(), clientv3.LeaseID(n.Node().Session)); err != nil {
		t.Fatal(err)
	}
	if err := n.Report(t.Context(), state.Report{}); err == nil {
		t.Error("a report without a presence")
	}
}

func TestReportIsChecked(t *testing.T) {
	c := newCluster(t)
	n := c.join("n1", 60*time.Second)
	one := state.ResourceReport{Name: "mta", Phase: state.ResourceStarted}
	with := func(change func(*state.ResourceReport)) state.Report {
		r := one
		change(&r)
		return state.Report{Resources: []state.ResourceReport{r}}
	}
	for name, r := range map[string]state.Report{
		"no name":       with(func(r *state.ResourceReport) { r.Name = "" }),
		"slash":         with(func(r *state.ResourceReport) { r.Name = "a/b" }),
		"unknown phase": with(func(r *state.ResourceReport) { r.Phase = "fine" }),
		"negative":      with(func(r *state.ResourceReport) { r.Sessions = -1 }),
		"twice":         {Resources: []state.ResourceReport{one, one}},
		"huge":          with(func(r *state.ResourceReport) { r.Detail = strings.Repeat("x", 1<<20) }),
	} {
		if err := n.Report(t.Context(), r); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for i, text := range []string{`{`, `{"v":1,"record":{"at":"2026-01-01T00:00:00Z","resources":[{"name":"x","phase":"nonsense"}]}}`,
		`{"v":1,"record":{"surprise":1}}`, `{"v":2,"record":{}}`} {
		if _, err := c.client.Put(t.Context(), fmt.Sprint("/mailha/test/reports/bad", i), text); err != nil {
			t.Fatal(err)
		}
	}
	s := await(t, c.Watch(t.Context()), "the faults", func(s state.Snapshot) bool { return s.Stale == nil })
	if len(s.Faults) != 4 || len(s.Reports) != 0 {
		t.Errorf("faults %v, reports %v", s.Faults, s.Reports)
	}
}

func TestForgiveOneResource(t *testing.T) {
	c := newCluster(t)
	group := must[state.Group](t)
	n := c.join("n1", 60*time.Second)
	g := group(n.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{}))
	g.Phase = state.Running
	g.Failures = []state.Failure{{Node: "n1", Resource: "mta"}, {Node: "n2", Resource: "store"}}
	g = group(n.Put(t.Context(), g))
	forgiven := group(c.Forgive(t.Context(), g, "mta", "alice"))
	if len(forgiven.Failures) != 1 || forgiven.Failures[0].Resource != "store" || len(g.Failures) != 2 {
		t.Errorf("got %+v of %+v", forgiven, g)
	}
	if now, err := n.Put(t.Context(), g); !errors.Is(err, state.ErrConflict) || now.Rev != forgiven.Rev {
		t.Errorf("the owner was not told: %+v, %v", now, err)
	}
	if now, err := c.Forgive(t.Context(), g, "", "alice"); !errors.Is(err, state.ErrConflict) || now.Rev != forgiven.Rev {
		t.Errorf("an older record was written over a newer one: %+v, %v", now, err)
	}
	if _, err := c.Forgive(t.Context(), state.Group{Name: "none"}, "", "alice"); err == nil {
		t.Error("a group was made by forgiving it")
	}
}

func TestRestartIsAskedForOnce(t *testing.T) {
	c := newCluster(t)
	w := state.Wish{Kind: state.Restart, Resource: "mta", By: "alice"}
	w = must[state.Wish](t)(c.PutWish(t.Context(), w))
	if _, err := c.PutWish(t.Context(), state.Wish{Kind: state.Restart, Resource: "mta"}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("asked for twice: %v", err)
	}
	if _, err := c.PutWish(t.Context(), state.Wish{Kind: state.Restart, Resource: "mta", Group: "mail"}); err == nil {
		t.Error("a group in it was taken")
	}
	if err := c.EndWish(t.Context(), w, "n1", "it was done"); err != nil {
		t.Fatal(err)
	}
}

func TestRelease(t *testing.T) {
	c := newCluster(t)
	group := must[state.Group](t)
	n1, n2 := c.join("n1", 60*time.Second), c.join("n2", 60*time.Second)
	g := group(n1.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{}))
	if _, err := c.Release(t.Context(), g, "alice"); !errors.Is(err, state.ErrOwned) {
		t.Errorf("taken from one who is present: %v", err)
	}
	g.Phase = state.Failed
	g = group(n1.Put(t.Context(), g))
	released := group(c.Release(t.Context(), g, "alice"))
	if released.Owner != "" || released.Phase != state.Free || released.Epoch != 1 || released.Former != "n1" || released.Handed {
		t.Errorf("got %+v", released)
	}
	if _, err := n1.Put(t.Context(), g); !errors.Is(err, state.ErrConflict) {
		t.Errorf("its former owner wrote it: %v", err)
	}
	if _, err := c.Release(t.Context(), released, "alice"); err == nil {
		t.Error("released twice")
	}
	g = group(n1.Take(t.Context(), released, state.Claim{}))
	if err := n1.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	group(n2.Take(t.Context(), group(c.Release(t.Context(), g, "alice")), state.Claim{}))
}

func TestFencedIsMeantForWhatWasThen(t *testing.T) {
	g := state.Group{Name: "mail", Owner: "n1", Rev: 7}
	word := state.Wish{Kind: state.Fenced, Node: "n1", Rev: 8}
	for name, tt := range map[string]struct {
		group state.Group
		wish  state.Wish
		nodes map[string]state.Node
		want  bool
	}{
		"said after it was lost": {g, word, nil, true},
		"it is present":          {g, word, map[string]state.Node{"n1": {Name: "n1"}}, false},
		"said of a former life":  {state.Group{Name: "mail", Owner: "n1", Rev: 9}, word, nil, false},
		"said of another":        {g, state.Wish{Kind: state.Fenced, Node: "n2", Rev: 8}, nil, false},
		"free":                   {state.Group{Name: "mail", Rev: 7}, state.Wish{Kind: state.Fenced, Rev: 8}, nil, false},
	} {
		s := state.Snapshot{Nodes: tt.nodes, Wishes: []state.Wish{tt.wish}}
		if _, got := s.Fenced(tt.group); got != tt.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
