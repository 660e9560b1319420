// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
)

// etcd stands still for longer than the lease: the session ends by its own
// clock, the watch says that it is stale, and both come back.
func TestEtcdStandsStill(t *testing.T) {
	_, client, wire := quorumtest.Wired(t)
	store := must[*state.Store](t)(state.Open(client, state.Options{Cluster: "test"}))
	c := &cluster{store, t, client}
	watch := c.Watch(t.Context())
	n := c.join("n1", 2*time.Second)
	await(t, watch, "n1", func(s state.Snapshot) bool { return len(s.Nodes) == 1 && s.Stale == nil })

	const each = 10 * time.Millisecond
	noise := quorumtest.Listen(t, each)
	wire.Hold()
	for valid := true; valid; time.Sleep(time.Millisecond) { // nothing but its own clock tells
		least, before := n.Deadline(), clock.Boot{}.Now()
		valid = n.Valid()
		after, most := clock.Boot{}.Now(), n.Deadline()
		if valid && !before.Before(most) || !valid && after.Before(least) {
			t.Errorf("valid %t between %s and %s after the deadline", valid, before.Sub(most), after.Sub(least))
		}
	}
	from := time.Now()
	<-n.Lost()
	if took, most := time.Since(from), 400*time.Millisecond+noise.Longest(); took > most {
		t.Errorf("told %s after it was invalid, later than %s", took, most)
	}
	s := await(t, watch, "staleness", func(s state.Snapshot) bool { return s.Stale != nil })
	if len(s.Nodes) != 1 {
		t.Errorf("what was known last is gone: %+v", s)
	}
	wire.Free()
	await(t, watch, "freshness", func(s state.Snapshot) bool { return s.Stale == nil && len(s.Nodes) == 0 })
	n = c.join("n1", 2*time.Second)
	await(t, watch, "n1 again", func(s state.Snapshot) bool { return s.Stale == nil && s.Nodes["n1"].Session == n.Node().Session })
}

func TestSlowWatcherGetsTheLatest(t *testing.T) {
	c := newCluster(t)
	slow, quick := c.Watch(t.Context()), c.Watch(t.Context())
	await(t, quick, "the first", func(s state.Snapshot) bool { return s.Stale == nil })
	config := state.Config{By: "root"}
	for i := range 50 {
		config.TOML = fmt.Sprint(i)
		config = must[state.Config](t)(c.PutConfig(t.Context(), config))
	}
	await(t, quick, "the last", func(s state.Snapshot) bool { return s.Config.TOML == "49" })
	// It is slow indeed, so that its watch has the time to put the latest in the place of the others.
	const slowly = 500 * time.Millisecond
	count := 0
	time.Sleep(slowly)
	await(t, slow, "the last", func(s state.Snapshot) bool {
		if count++; s.Config.TOML == "49" {
			return true
		}
		time.Sleep(slowly)
		return false
	})
	if count > 2 {
		t.Errorf("the slow one got %d snapshots", count)
	}
	if _, err := c.PutConfig(t.Context(), state.Config{TOML: "x"}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a configuration that was not read is replaced: %v", err)
	}
}

// What the watch had not yet heard was compacted away.
func TestWatchSurvivesCompaction(t *testing.T) {
	m, client, wire := quorumtest.Wired(t)
	far := must[*state.Store](t)(state.Open(client, state.Options{Cluster: "test"}))
	near := must[*state.Store](t)(state.Open(m.Client(), state.Options{Cluster: "test"}))
	watch := far.Watch(t.Context())
	await(t, watch, "the first", func(s state.Snapshot) bool { return s.Stale == nil })
	wire.Hold()
	var w state.Wish
	for i := range 20 {
		w = must[state.Wish](t)(near.PutWish(t.Context(), state.Wish{Kind: state.Standby, Node: fmt.Sprint("n", i), By: "root"}))
	}
	if _, err := m.Client().Compact(t.Context(), w.Rev); err != nil {
		t.Fatal(err)
	}
	await(t, watch, "staleness", func(s state.Snapshot) bool { return s.Stale != nil })
	wire.Free()
	await(t, watch, "all wishes", func(s state.Snapshot) bool { return s.Stale == nil && len(s.Wishes) == 20 })
}

func TestWishes(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	wish := must[state.Wish](t)
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, w := range []state.Wish{
		{Kind: state.Move, Group: "mail"},
		{Kind: state.Move, Group: "mail", Node: "n1", Resource: "mta"},
		{Kind: state.Standby},
		{Kind: state.Standby, Node: "../config"},
		{Kind: state.Ban, Group: "a/b", Node: "n1"},
		{Kind: "other"},
	} {
		if _, err := c.PutWish(ctx, w); err == nil {
			t.Errorf("taken: %+v", w)
		}
	}
	move := wish(c.PutWish(ctx, state.Wish{Kind: state.Move, Group: "mail", Node: "n2", By: "root"}))
	if _, err := c.PutWish(ctx, state.Wish{Kind: state.Move, Group: "mail", Node: "n1", By: "other"}); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a second move of a group, without having seen the first: %v", err)
	}
	wish(c.PutWish(ctx, state.Wish{Kind: state.Maintenance, By: "root", Until: until}))
	wish(c.PutWish(ctx, state.Wish{Kind: state.Ban, Group: "mail", Node: "n1", By: "root"}))
	wish(c.PutWish(ctx, state.Wish{Kind: state.Ban, Group: "mail", Node: "n2", By: "root"}))
	wish(c.PutWish(ctx, state.Wish{Kind: state.Stop, Resource: "mta", By: "root"}))
	if err := c.EndWish(ctx, move, "n2", "it was fulfilled"); err != nil {
		t.Error(err)
	}
	if err := c.EndWish(ctx, move, "n1", ""); !errors.Is(err, state.ErrConflict) {
		t.Errorf("ended twice: %v", err)
	}
	s := await(t, c.Watch(ctx), "the wishes", func(s state.Snapshot) bool { return s.Stale == nil })
	var got []string
	for _, w := range s.Wishes {
		got = append(got, w.String())
		if w.Kind == state.Maintenance && (w.Over(until.Add(-1)) || !w.Over(until)) || w.Kind != state.Maintenance && w.Over(until) {
			t.Errorf("%s is over or not at the wrong time", w)
		}
	}
	want := []string{"the ban of mail from n1", "the ban of mail from n2", "maintenance", "a stop of mta"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUnreadableRecordsAreToldAndTakenByNobody(t *testing.T) {
	c := newCluster(t)
	n := c.join("n1", 60*time.Second)
	for key, value := range map[string]string{
		"config":             `{"v":1,"record":{"toml":"","more":1}}`,
		"nodes/n2":           `{"v":1,"record":{"boot":"","version":"","api":"","since":"2026-01-02T03:04:05Z"}}`, // without a lease
		"groups/newer":       `{"v":2,"record":{},"seal":"x"}`,
		"groups/odd":         `{"v":1,"record":{"owner":"n2","phase":"free"}}`,
		"groups/odder":       `{"v":1,"record":{"owner":"n2","phase":"running","epoch":-1}}`,
		"groups/oddest":      `{"v":1,"record":{"owner":"n2","phase":"running"}}`,
		"groups/tail":        `{"v":1,"record":{"phase":"free"}} ` + "x",
		"groups/none":        ``,
		"wishes/standby/n3":  `{"v":1,"record":{"kind":"standby","node":"n4","by":"","why":"","since":"2026-01-02T03:04:05Z"}}`,
		"wishes/other/x":     `{"v":1,"record":{"kind":"other"}}`,
		"not-ours/but-there": `x`,
	} {
		if _, err := c.client.Put(t.Context(), "/mailha/test/"+key, value); err != nil {
			t.Fatal(err)
		}
	}
	s := await(t, c.Watch(t.Context()), "the state", func(s state.Snapshot) bool { return s.Stale == nil })
	if len(s.Faults) != 10 || len(s.Groups) != 0 || len(s.Wishes) != 0 || len(s.Nodes) != 1 {
		t.Errorf("%d faults %v; %+v", len(s.Faults), s.Faults, s)
	}
	for _, fault := range s.Faults {
		if !errors.Is(fault, state.ErrFormat) {
			t.Errorf("of another kind: %v", fault)
		}
		t.Log(fault)
	}
	if _, err := n.Take(t.Context(), state.Group{Name: "newer"}, state.Claim{}); !errors.Is(err, state.ErrFormat) {
		t.Errorf("a group whose record is of a newer mailha: %v", err)
	}
}

func TestEventsAreBounded(t *testing.T) {
	c := newCluster(t)
	for i := range state.MaxEvents + 120 {
		if err := c.Note(t.Context(), state.Event{What: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	events, err := c.Events(t.Context(), 10*state.MaxEvents)
	if err != nil || len(events) < state.MaxEvents || len(events) > state.MaxEvents+60 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if last := events[len(events)-1].What; last != fmt.Sprint(state.MaxEvents+119) {
		t.Errorf("the last is %s", last)
	}
	few, err := c.Events(t.Context(), 3)
	if diff := cmp.Diff(events[len(events)-3:], few); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// The answer to a write is lost on its way: the write is made once, and known to be.
func TestWriteWhoseAnswerIsLost(t *testing.T) {
	_, client, wire := quorumtest.Wired(t)
	c := &cluster{must[*state.Store](t)(state.Open(client, state.Options{Cluster: "test"})), t, client}
	n := c.join("n1", 60*time.Second)
	wire.HoldAnswers()
	taken := make(chan state.Group, 1)
	go func() {
		g, err := n.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{})
		if err != nil {
			t.Error(err)
		}
		taken <- g
	}()
	time.Sleep(700 * time.Millisecond) // the first attempt is given up by then
	wire.Free()
	g := <-taken
	if g.Epoch != 1 || !n.Owns(g) {
		t.Errorf("got %+v", g)
	}
	g.Phase = state.Running
	if _, err := n.Put(t.Context(), g); err != nil {
		t.Errorf("its revision is wrong: %v", err)
	}
	events, err := c.Events(t.Context(), 10)
	if err != nil || len(events) != 3 { // present, taken, running
		t.Errorf("%d events, %v", len(events), err)
	}
}

// A watch goes along when the client asks another member, and does not hang on the former
// one, whose machine may lose its power.
func TestWatchGoesAlong(t *testing.T) {
	m, client, wire := quorumtest.Wired(t)
	store := must[*state.Store](t)(state.Open(client, state.Options{Cluster: "test"}))
	watch := store.Watch(t.Context())
	await(t, watch, "its first sight", func(s state.Snapshot) bool { return s.Stale == nil })
	client.SetEndpoints("http://" + wire.To.String())
	time.Sleep(1500 * time.Millisecond) // it is noticed within a second
	wire.Hold()
	direct := must[*state.Store](t)(state.Open(m.Client(), state.Options{Cluster: "test"}))
	if _, err := direct.PutWish(t.Context(), state.Wish{Kind: state.Standby, Node: "n2", By: "root"}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := await(t, watch, "the wish", func(s state.Snapshot) bool { return len(s.Wishes) == 1 || s.Stale != nil })
	if took := time.Since(began); s.Stale != nil || took > time.Second {
		t.Errorf("it came after %s, %v", took, s.Stale)
	}
}
