// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
)

const patience = 20 * time.Second

// cluster is a store on an etcd of the test's own.
type cluster struct {
	*state.Store
	t      *testing.T
	client *clientv3.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	client := quorumtest.Single(t).Client()
	s, err := state.Open(client, state.Options{Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{s, t, client}
}

func (c *cluster) join(name string, ttl time.Duration) *state.Session {
	c.t.Helper()
	s, err := c.Join(c.t.Context(), state.Node{Name: name, Boot: "boot1", Version: "1"}, state.Term{TTL: ttl})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(s.Close)
	return s
}

// await returns the first snapshot of a watch that is as wanted.
func await(t *testing.T, watch <-chan state.Snapshot, what string, as func(state.Snapshot) bool) state.Snapshot {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case s, open := <-watch:
			if !open {
				t.Fatalf("the watch ended before %s", what)
			}
			if as(s) {
				return s
			}
		case <-timeout:
			t.Fatalf("%s did not come", what)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestGroupChangesHands(t *testing.T) {
	c := newCluster(t)
	group := must[state.Group](t)
	n1, n2 := c.join("n1", 10*time.Second), c.join("n2", 10*time.Second)
	ctx := t.Context()

	mail := state.Group{Name: "mail"}
	g := group(n1.Take(ctx, mail, state.Claim{Why: "first start"}))
	if g.Owner != "n1" || g.Epoch != 1 || g.Phase != state.Starting || !n1.Owns(g) || n2.Owns(g) {
		t.Errorf("taken: %+v", g)
	}
	if now, err := n2.Take(ctx, mail, state.Claim{}); !errors.Is(err, state.ErrConflict) || now.Rev != g.Rev || now.Owner != "n1" {
		t.Errorf("taken as never owned: %+v, %v", now, err)
	}
	if now, err := n2.Take(ctx, g, state.Claim{}); !errors.Is(err, state.ErrOwned) || now.Rev != g.Rev {
		t.Errorf("taken from one who is present: %+v, %v", now, err)
	}
	if _, err := n1.Take(ctx, g, state.Claim{}); err == nil {
		t.Error("taken twice by the same")
	}
	for _, put := range []state.Group{g, {Name: "other", Phase: state.Running}} {
		if _, err := n2.Put(ctx, put); err == nil {
			t.Errorf("%s was written by one who does not own it", put.Name)
		}
	}
	if _, err := n2.Free(ctx, g, ""); err == nil {
		t.Error("freed by one who does not own it")
	}
	old := g
	g.Phase = state.Running
	for i := range state.MaxHistory + 5 {
		g.Failures = append(g.Failures, state.Failure{Node: "n1", Resource: fmt.Sprint(i)})
	}
	g = group(n1.Put(ctx, g))
	if _, err := n1.Put(ctx, old); !errors.Is(err, state.ErrConflict) {
		t.Errorf("an older record was written over a newer one: %v", err)
	}
	g = group(c.Forgive(ctx, g, "", "root"))
	g = group(n1.Free(ctx, g, "moves to n2"))
	if g.Owner != "" || g.Former != "n1" || g.Epoch != 1 || g.Phase != state.Free || g.Handed {
		t.Errorf("freed: %+v", g)
	}
	g = group(n2.Take(ctx, g, state.Claim{Floor: 7, Why: "the wish of root"}))
	if g.Epoch != 7 || g.Former != "n1" || len(g.Moves) != 1 || g.Handed {
		t.Errorf("taken with a floor: %+v", g)
	}

	watch := c.Watch(ctx)
	s := await(t, watch, "the state", func(s state.Snapshot) bool { return s.Stale == nil })
	if diff := cmp.Diff(map[string]state.Group{"mail": g}, s.Groups); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]state.Node{"n1": n1.Node(), "n2": n2.Node()}, s.Nodes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	events, err := c.Events(ctx, 100)
	var told []string
	for _, e := range events {
		told = append(told, e.Node+": "+e.What)
	}
	want := []string{
		"n1: the node is present", "n2: the node is present", "n1: starting on n1, epoch 1: first start",
		"n1: running on n1, epoch 1: first start", ": its failures were forgiven",
		"n1: given up by n1, epoch 1: moves to n2", "n2: starting on n2, epoch 7: the wish of root",
	}
	if diff := cmp.Diff(want, told); diff != "" || err != nil {
		t.Errorf("(-want +got) %v\n%s", err, diff)
	}
}

// Many take at once, again and again: each epoch has one owner.
func TestOneOwnerOfEachEpoch(t *testing.T) {
	c := newCluster(t)
	const nodes, each = 4, 10
	var mu sync.Mutex
	owners := map[uint64]string{}
	var all sync.WaitGroup
	for i := range nodes {
		n := c.join(fmt.Sprint("n", i), 20*time.Second)
		all.Go(func() {
			seen := state.Group{Name: "mail"}
			for won := 0; won < each && t.Context().Err() == nil; {
				g, err := n.Take(t.Context(), seen, state.Claim{})
				switch {
				case errors.Is(err, state.ErrOwned), errors.Is(err, state.ErrConflict):
					seen = g
					continue
				case err != nil:
					t.Error(err)
					return
				}
				mu.Lock()
				if owners[g.Epoch] != "" {
					t.Errorf("epoch %d is of %s and of %s", g.Epoch, owners[g.Epoch], g.Owner)
				}
				owners[g.Epoch] = g.Owner
				mu.Unlock()
				won++
				if seen, err = n.Free(t.Context(), g, ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if len(owners) != nodes*each {
		t.Errorf("%d epochs, want %d", len(owners), nodes*each)
	}
}

func TestWithoutPresenceNothingIsWritten(t *testing.T) {
	for name, lose := range map[string]func(*cluster, *state.Session) error{
		"its record was removed": func(c *cluster, _ *state.Session) error {
			_, err := c.client.Delete(t.Context(), "/mailha/test/nodes/n1")
			return err
		},
		"its record is another's": func(c *cluster, _ *state.Session) error {
			_, err := c.client.Put(t.Context(), "/mailha/test/nodes/n1", "{}")
			return err
		},
		"its lease was revoked": func(c *cluster, n *state.Session) error {
			_, err := c.client.Revoke(t.Context(), clientv3.LeaseID(n.Node().Session))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			n := c.join("n1", 60*time.Second) // no renewal comes in between
			g := must[state.Group](t)(n.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{}))
			if err := lose(c, n); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Put(t.Context(), g); !errors.Is(err, state.ErrLost) {
				t.Errorf("put: %v", err)
			}
			<-n.Lost() // it was found out by the write
			if _, err := n.Take(t.Context(), state.Group{Name: "other"}, state.Claim{}); !errors.Is(err, state.ErrLost) {
				t.Errorf("take: %v", err)
			}
			if _, err := n.Free(t.Context(), g, ""); !errors.Is(err, state.ErrLost) {
				t.Errorf("free: %v", err)
			}
		})
	}
}

func TestSessionLastsAsLongAsItIsRenewed(t *testing.T) {
	c := newCluster(t)
	n := c.join("n1", 2*time.Second)
	before := n.Deadline()
	for renewals := 0; renewals < 5; { // over more than its term
		if now := n.Deadline(); now != before {
			before = now
			renewals++
		}
		select {
		case <-n.Lost():
			t.Fatal(n.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if !n.Valid() {
		t.Error("not valid")
	}
}

// The renewal finds it by itself, without a write.
func TestPresenceThatWasRemovedIsNoticed(t *testing.T) {
	c := newCluster(t)
	n := c.join("n1", 3*time.Second)
	if _, err := c.client.Delete(t.Context(), "/mailha/test/nodes/n1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Lost():
	case <-time.After(patience):
		t.Fatal("not noticed")
	}
	if n.Valid() || !strings.Contains(n.Err().Error(), "removed") {
		t.Errorf("valid %t, %v", n.Valid(), n.Err())
	}
}

func TestLostNodeIsTakenOver(t *testing.T) {
	c := newCluster(t)
	n1, n2 := c.join("n1", 2*time.Second), c.join("n2", 10*time.Second)
	watch := c.Watch(t.Context())
	g := must[state.Group](t)(n1.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{}))
	deadline := n1.Deadline()
	n1.Close() // as if it had died
	s := await(t, watch, "the end of n1's lease", func(s state.Snapshot) bool { _, gone := s.Gone["n1"]; return gone })
	if gone := s.Gone["n1"]; gone.Before(deadline) {
		t.Errorf("the others saw it gone %s before its own deadline", deadline.Sub(gone))
	}
	if s.Groups["mail"].Rev != g.Rev || s.Nodes["n1"].Name != "" {
		t.Errorf("got %+v", s)
	}
	taken := must[state.Group](t)(n2.Take(t.Context(), s.Groups["mail"], state.Claim{Why: "n1 is lost"}))
	if taken.Epoch != 2 || taken.Former != "n1" {
		t.Errorf("taken: %+v", taken)
	}
	// It comes back, and knows that nothing is its own.
	n1 = c.join("n1", 10*time.Second)
	s = await(t, watch, "n1's return", func(s state.Snapshot) bool { return s.Nodes["n1"].Session == n1.Node().Session })
	if n1.Owns(s.Groups["mail"]) || len(s.Gone) != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestDaemonComesBackOnTheSameBoot(t *testing.T) {
	c := newCluster(t)
	former := c.join("n1", 60*time.Second)
	g := must[state.Group](t)(former.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{}))
	if _, err := c.Join(t.Context(), state.Node{Name: "n1", Boot: "boot2"}, state.Term{TTL: 5 * time.Second}); !errors.Is(err, state.ErrPresent) {
		t.Errorf("after a reboot within the lease, or on another machine: %v", err)
	}
	n := c.join("n1", 60*time.Second)
	if n.Owns(g) {
		t.Error("what the former daemon owned is the new one's without a clean-up")
	}
	if _, err := former.Put(t.Context(), g); !errors.Is(err, state.ErrLost) {
		t.Errorf("the former daemon writes: %v", err)
	}
	ttl, err := c.client.TimeToLive(t.Context(), clientv3.LeaseID(former.Node().Session))
	if err != nil || ttl.TTL != -1 {
		t.Errorf("the former lease lives: %+v, %v", ttl, err)
	}
	taken := must[state.Group](t)(n.Take(t.Context(), g, state.Claim{Why: "cleaned up"}))
	if taken.Epoch != 2 || len(taken.Moves) != 0 {
		t.Errorf("taken: %+v", taken)
	}
}

func TestLeaveIsSeenAtOnce(t *testing.T) {
	c := newCluster(t)
	watch := c.Watch(t.Context())
	n := c.join("n1", 60*time.Second)
	await(t, watch, "n1", func(s state.Snapshot) bool { return len(s.Nodes) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, watch, "n1's end", func(s state.Snapshot) bool { return len(s.Nodes) == 0 })
}
