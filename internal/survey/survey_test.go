// SPDX-License-Identifier: Apache-2.0

package survey_test

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/survey"
	"github.com/mailha/mailha/resources"
)

var (
	now = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	at  = clock.Time(time.Hour)
)

func file() *resources.Cluster {
	return &resources.Cluster{Margin: 300 * time.Millisecond, Groups: []resources.Group{{
		Name: "mail", Nodes: []resources.Preference{{Node: "n1"}, {Node: "n2"}}, Resources: []resources.Resource{{Name: "a"}, {Name: "b"}},
	}}}
}

func owned(phase state.Phase) state.Snapshot {
	return state.Snapshot{
		Nodes:  map[string]state.Node{"n2": {Name: "n2", Since: now.Add(-time.Hour)}},
		Groups: map[string]state.Group{"mail": {Name: "mail", Owner: "n1", Former: "n0", Epoch: 3, Phase: phase, Rev: 10}},
		Gone:   map[string]clock.Time{"n1": at.Add(-time.Second)},
	}
}

// A node that was here is lost, and not one that nobody has seen.
func TestLostNodes(t *testing.T) {
	p := survey.State(owned(state.Running), file(), now, at)
	for _, name := range []string{"n0", "n1"} {
		if n, seen := p.Nodes[name]; !seen || n.Present {
			t.Errorf("%s: %+v, %t", name, n, seen)
		}
	}
	if since := p.Nodes["n1"].Since; !since.Equal(now.Add(-time.Second)) {
		t.Errorf("lost since %s", since)
	}
	if n := p.Nodes["n2"]; !n.Present {
		t.Errorf("%+v", n)
	}
}

func TestWhenAGroupIsFree(t *testing.T) {
	fenced := func(rev int64, until time.Time) []state.Wish {
		return []state.Wish{{Kind: state.Fenced, Node: "n1", Since: now.Add(-time.Minute), Until: until, Rev: rev}}
	}
	for _, tt := range []struct {
		name   string
		phase  state.Phase
		wishes []state.Wish
		want   time.Time
	}{
		{"its lease is over", state.Running, nil, now.Add(-700 * time.Millisecond)},
		{"a lease proves nothing about what did not stop", state.Failed, nil, time.Time{}},
		{"an operator's word", state.Failed, fenced(11, time.Time{}), now.Add(-time.Minute)},
		{"of the past", state.Failed, fenced(11, now.Add(-time.Second)), time.Time{}},
		{"of before it owned the group", state.Failed, fenced(9, time.Time{}), time.Time{}},
		{"by a clock that is ahead", state.Failed, []state.Wish{{Kind: state.Fenced, Node: "n1", Since: now.Add(time.Hour), Rev: 11}}, now},
	} {
		s := owned(tt.phase)
		s.Wishes = tt.wishes
		if got := survey.State(s, file(), now, at).Groups["mail"].FreeAt; !got.Equal(tt.want) {
			t.Errorf("%s: free at %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWhatWasPromisedIsNotFree(t *testing.T) {
	s := owned(state.Running)
	s.Promised = map[string]clock.Time{"n1": at.Add(time.Minute), "n2": at.Add(time.Hour)}
	if got := survey.State(s, file(), now, at).Groups["mail"].FreeAt; !got.Equal(now.Add(time.Minute)) {
		t.Errorf("free at %s", got)
	}
	s.Promised["n1"] = at.Add(-time.Minute) // long over
	if got := survey.State(s, file(), now, at).Groups["mail"].FreeAt; !got.Equal(now.Add(-700 * time.Millisecond)) {
		t.Errorf("free at %s", got)
	}
}

func TestWishes(t *testing.T) {
	s := owned(state.Running)
	s.Wishes = []state.Wish{
		{Kind: state.Stop, Resource: "a", By: "root"}, {Kind: state.Standby, Node: "n2", Until: now},
		{Kind: state.Move, Group: "new", Node: "n2"}, {Kind: state.Ban, Group: "mail", Node: "n2"}, {Kind: state.Maintenance},
	}
	p := survey.State(s, file(), now, at)
	g := p.Groups["mail"]
	if g.Stopped != nil || p.Nodes["n2"].Standby != nil || len(g.Bans) != 1 || p.Maintenance == nil || p.Groups["new"].Wish.Node != "n2" {
		t.Errorf("%+v", p)
	}
	s.Wishes = append(s.Wishes, state.Wish{Kind: state.Stop, Resource: "b", By: "root"})
	if survey.State(s, file(), now, at).Groups["mail"].Stopped == nil {
		t.Error("a group of which all is stopped is not stopped")
	}
}
