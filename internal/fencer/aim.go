// SPDX-License-Identifier: Apache-2.0

package fencer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// scene is what is known when it is decided.
type scene struct {
	self    string
	cluster *resources.Cluster
	state   state.Snapshot
	view    heartbeat.View
	now     time.Time // for people's wishes, which have an end
	boot    clock.Time
}

// target is a node that is to be fenced.
type target struct {
	node string
	life state.SessionID // 0: it is not present
	why  string
	// silent: it is fenced because nobody hears it, and spared if somebody does.
	silent bool
}

// targets are the nodes to fence, by name.
func (s scene) targets() []target {
	var all []target
	owns := s.owned()
	for _, n := range s.cluster.Nodes {
		if n.Name == s.self {
			continue
		}
		if t, is := s.target(n.Name, owns[n.Name]); is {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.node, b.node) })
	return all
}

func (s scene) target(name string, owned []state.Group) (target, bool) {
	t := target{node: name}
	if n, present := s.state.Nodes[name]; present {
		t.life = n.Session
	}
	if w, asked := s.asked(name); asked {
		t.why = w.By + " asked for it"
		if w.Why != "" {
			t.why += ": " + w.Why
		}
		return t, true
	}
	if s.maintained() || len(owned) == 0 {
		return t, false
	}
	if t.life == 0 {
		if s.boot.Before(s.state.Promised[name]) {
			return t, false // it runs on by everybody's promise, and is about to join again
		}
		// The lease of most is enough, and soon over: no need to shoot.
		owned = slices.DeleteFunc(slices.Clone(owned), func(g state.Group) bool {
			_, fenced := s.state.Fenced(g)
			return fenced || g.Phase != state.Failed && !s.needsFencing(g.Name)
		})
		t.why = "it is gone, and nothing proves that " + names(owned) + " has ended there"
		return t, len(owned) > 0
	}
	sight, known := s.view.Node(name)
	if !known || !sight.Condemned || state.SessionID(sight.Life) != t.life || !s.view.Sound {
		return t, false
	}
	t.silent = true
	t.why = fmt.Sprintf("it looks dead to %s, and has %s", strings.Join(sight.DeadTo, ", "), names(owned))
	return t, true
}

// rest is until when a target is left alone, as its devices have just failed: not those
// of a former life, and not if somebody has asked for it since.
func (s scene) rest(t target) time.Time {
	shot := s.state.Shots[t.node]
	if shot.Phase != state.Missed || shot.Tries == 0 || t.life != 0 && t.life != shot.Life {
		return time.Time{}
	}
	if w, asked := s.asked(t.node); asked && w.Since.After(shot.Since) {
		return time.Time{}
	}
	if shot.Since.Sub(s.now) > pause(shot.Tries) {
		return time.Time{} // by a clock that is ahead; the next one who fails writes another time
	}
	return shot.Since.Add(pause(shot.Tries))
}

func (s scene) needsFencing(group string) bool {
	g, ok := s.cluster.Group(group)
	return ok && g.Takeover == resources.TakeoverFenced
}

// owned are the groups of each node, by name.
func (s scene) owned() map[string][]state.Group {
	owned := map[string][]state.Group{}
	for _, g := range s.state.Groups {
		if g.Owner != "" {
			owned[g.Owner] = append(owned[g.Owner], g)
		}
	}
	for _, groups := range owned {
		slices.SortFunc(groups, func(a, b state.Group) int { return strings.Compare(a.Name, b.Name) })
	}
	return owned
}

func names(groups []state.Group) string {
	var all []string
	for _, g := range groups {
		all = append(all, g.Name)
	}
	return strings.Join(all, ", ")
}

func (s scene) asked(node string) (state.Wish, bool) {
	for _, w := range s.state.Wishes {
		if w.Kind == state.Fence && w.Node == node && !w.Over(s.now) {
			return w, true
		}
	}
	return state.Wish{}, false
}

func (s scene) standby(node string) bool {
	return slices.ContainsFunc(s.state.Wishes, func(w state.Wish) bool { return w.Kind == state.Standby && w.Node == node && !w.Over(s.now) })
}

func (s scene) maintained() bool {
	return slices.ContainsFunc(s.state.Wishes, func(w state.Wish) bool { return w.Kind == state.Maintenance && !w.Over(s.now) })
}

// taken says whether another node is at it.
func (s scene) taken(node string) bool {
	shot := s.state.Shots[node]
	by, present := s.state.Nodes[shot.By]
	return shot.Phase == state.Shooting && shot.By != s.self && present && by.Session == shot.Session
}

// turn is how many nodes are to try it before this one; false: it is not to try at all.
// Those that have the most come first, as they have the most to lose, and a witness
// comes last.
func (s scene) turn(node string) (int, bool) {
	owned := s.owned()
	var line []resources.Node
	for _, n := range s.cluster.Nodes {
		sight, known := s.view.Node(n.Name)
		dead := known && n.Name != s.self && sight.State == heartbeat.Suspect
		if _, present := s.state.Nodes[n.Name]; present && !dead && n.Name != node {
			line = append(line, n)
		}
	}
	witness := func(n resources.Node) int {
		if n.Witness {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(line, func(a, b resources.Node) int {
		return cmp.Or(witness(a)-witness(b), len(owned[b.Name])-len(owned[a.Name]), strings.Compare(a.Name, b.Name))
	})
	i := slices.IndexFunc(line, func(n resources.Node) bool { return n.Name == s.self })
	return i, i >= 0
}
