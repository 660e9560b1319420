// SPDX-License-Identifier: Apache-2.0

package fencer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// three are n1, n2 and n3, of which n3 may be a witness; group store needs fencing.
func three(witness bool) *resources.Cluster {
	return &resources.Cluster{
		Nodes: []resources.Node{{Name: "n1"}, {Name: "n2"}, {Name: "n3", Witness: witness}},
		Groups: []resources.Group{
			{Name: "mail", Nodes: []resources.Preference{{Node: "n1"}, {Node: "n2"}}},
			{Name: "store", Takeover: resources.TakeoverFenced},
		},
		MaxFencings: 3, FencingsWindow: time.Hour,
	}
}

// stage is a cluster in which n1 owns mail and all are well.
func stage() scene {
	s := scene{self: "n2", cluster: three(false), now: time.Now(), view: heartbeat.View{Sound: true}, state: state.Snapshot{
		Nodes: map[string]state.Node{}, Groups: map[string]state.Group{}, Shots: map[string]state.Shot{},
	}}
	for i, n := range []string{"n1", "n2", "n3"} {
		s.state.Nodes[n] = state.Node{Name: n, Session: state.SessionID(i + 1)}
		s.view.Nodes = append(s.view.Nodes, heartbeat.Sight{Node: n, Life: uint64(i + 1), State: heartbeat.Alive})
	}
	s.own("n1", "mail", state.Running)
	return s
}

func (s *scene) own(node, group string, phase state.Phase) {
	s.state.Groups[group] = state.Group{Name: group, Owner: node, Session: s.state.Nodes[node].Session, Epoch: 1, Phase: phase, Rev: 10}
}

func (s *scene) condemn(node string) {
	i := slices.IndexFunc(s.view.Nodes, func(n heartbeat.Sight) bool { return n.Node == node })
	s.view.Nodes[i].State, s.view.Nodes[i].Condemned, s.view.Nodes[i].DeadTo = heartbeat.Suspect, true, []string{"n2", "n3"}
}

func (s *scene) wish(w state.Wish) {
	w.By = "root"
	s.state.Wishes = append(s.state.Wishes, w)
}

func TestTargets(t *testing.T) {
	gone := func(s *scene) { delete(s.state.Nodes, "n1") }
	for _, tt := range []struct {
		name string
		set  func(*scene)
		want string // a part of the reason; empty: nobody is fenced
	}{
		{"all are well", func(*scene) {}, ""},
		{"it looks dead", func(s *scene) { s.condemn("n1") }, "it looks dead to n2, n3, and has mail"},
		{"it looks dead to this one alone", func(s *scene) { s.condemn("n1"); s.view.Nodes[0].Condemned = false }, ""},
		{"and has nothing", func(s *scene) { s.condemn("n1"); s.own("n2", "mail", state.Running) }, ""},
		{"and what it had is free", func(s *scene) { s.condemn("n1"); s.state.Groups["mail"] = state.Group{Name: "mail", Phase: state.Free} }, ""},
		{"in a former life", func(s *scene) { s.condemn("n1"); s.state.Nodes["n1"] = state.Node{Name: "n1", Session: 7} }, ""},
		{"to a node that is cut off itself", func(s *scene) { s.condemn("n1"); s.view.Sound = false }, ""},
		{"in maintenance", func(s *scene) { s.condemn("n1"); s.wish(state.Wish{Kind: state.Maintenance}) }, ""},
		{"after a maintenance", func(s *scene) {
			s.condemn("n1")
			s.wish(state.Wish{Kind: state.Maintenance, Until: s.now.Add(-time.Second)})
		}, "it looks dead"},
		{"this node itself", func(s *scene) { s.own("n2", "mail", state.Running); s.condemn("n2") }, ""},
		{"it is gone, and the lease is enough", gone, ""},
		{"it is gone, and the lease proves nothing", func(s *scene) { s.own("n1", "store", state.Running); gone(s) }, "nothing proves that store has ended there"},
		{"it is gone, and runs on by a promise", func(s *scene) {
			s.own("n1", "store", state.Running)
			gone(s)
			s.boot, s.state.Promised = 10, map[string]clock.Time{"n1": 11}
		}, ""},
		{"it is gone, and the promise is over", func(s *scene) {
			s.own("n1", "store", state.Running)
			gone(s)
			s.boot, s.state.Promised = 11, map[string]clock.Time{"n1": 11}
		}, "nothing proves that store has ended there"},
		{"it is gone, and could not stop", func(s *scene) { s.own("n1", "mail", state.Failed); gone(s) }, "nothing proves that mail has ended there"},
		{"it was fenced already", func(s *scene) {
			s.own("n1", "store", state.Running)
			gone(s)
			s.wish(state.Wish{Kind: state.Fenced, Node: "n1", Rev: 11})
		}, ""},
		{"what an operator asked for", func(s *scene) {
			s.wish(state.Wish{Kind: state.Fence, Node: "n1", Why: "it burns"})
			s.wish(state.Wish{Kind: state.Maintenance})
		}, "root asked for it: it burns"},
		{"what an operator asked for too late", func(s *scene) { s.wish(state.Wish{Kind: state.Fence, Node: "n1", Until: s.now}) }, ""},
		{"itself, as an operator asked for it", func(s *scene) { s.wish(state.Wish{Kind: state.Fence, Node: "n2"}) }, ""},
	} {
		s := stage()
		tt.set(&s)
		switch got := s.targets(); {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: %+v", tt.name, got)
		case tt.want != "" && (len(got) != 1 || got[0].node != "n1" || !strings.Contains(got[0].why, tt.want)):
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		case len(got) == 1 && got[0].life != s.state.Nodes["n1"].Session:
			t.Errorf("%s: another life: %+v", tt.name, got)
		}
	}
}

func TestTurns(t *testing.T) {
	line := func(s scene) string {
		var all [3]string
		for _, n := range []string{"n1", "n2", "n3"} {
			s.self = n
			if i, is := s.turn("n1"); is {
				all[i] = n
			}
		}
		return strings.TrimSpace(strings.Join(all[:], " "))
	}
	for _, tt := range []struct {
		name string
		set  func(*scene)
		want string
	}{
		{"by name", func(*scene) {}, "n2 n3"},
		{"who has more", func(s *scene) { s.own("n3", "web", state.Running) }, "n3 n2"},
		{"a witness last", func(s *scene) { s.cluster = three(true); s.own("n3", "web", state.Running) }, "n2 n3"},
		{"not one who is gone", func(s *scene) { delete(s.state.Nodes, "n2") }, "n3"},
	} {
		s := stage()
		tt.set(&s)
		if got := line(s); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	s := stage()
	s.view.Nodes[1].State = heartbeat.Suspect // n3 does not wait for one who looks dead
	s.self = "n3"
	if i, is := s.turn("n1"); i != 0 || !is {
		t.Errorf("behind one who looks dead: %d, %t", i, is)
	}
	s.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Shooting, By: "n2", Session: 2}
	if !s.taken("n1") {
		t.Error("n2 is at it")
	}
	s.state.Nodes["n2"] = state.Node{Name: "n2", Session: 9}
	if s.taken("n1") {
		t.Error("n2 was at it in a former life")
	}
}
