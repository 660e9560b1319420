// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// world is a cluster with what is really so beside what is written down.
type world struct {
	placement.State
	runs map[string]map[string]bool // group → nodes that really run it
	ends map[string]time.Time       // node that was cut off → when it lets go
}

func newWorld(t *rapid.T) *world {
	s := placement.State{Now: noon, Cluster: someCluster(t), Nodes: map[string]placement.Node{}, Groups: map[string]placement.Group{}}
	w := &world{State: s, runs: map[string]map[string]bool{}, ends: map[string]time.Time{}}
	for _, n := range s.Cluster.Nodes {
		if rapid.IntRange(0, 5).Draw(t, "seen") > 0 {
			w.Nodes[n.Name] = placement.Node{Present: true, Since: ago(time.Duration(rapid.IntRange(0, 300).Draw(t, "up")) * time.Second)}
		}
	}
	for _, g := range s.Cluster.Groups {
		w.runs[g.Name] = map[string]bool{}
	}
	return w
}

func someCluster(t *rapid.T) *resources.Cluster {
	c := &resources.Cluster{Name: "random", Lease: 10 * time.Second, Margin: time.Second,
		MaxMoves: rapid.IntRange(0, 4).Draw(t, "max moves"), MovesWindow: time.Duration(rapid.IntRange(60, 3600).Draw(t, "moves window")) * time.Second}
	for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
		c.Nodes = append(c.Nodes, resources.Node{Name: fmt.Sprint("n", i)})
	}
	runners := slices.Clone(c.Nodes)
	if rapid.Bool().Draw(t, "witness") {
		c.Nodes = append(c.Nodes, resources.Node{Name: "w", Witness: true})
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "groups") {
		c.Groups = append(c.Groups, someGroup(t, fmt.Sprint("g", i), runners))
	}
	for i := range c.Groups {
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "apart") == 0 {
				c.Groups[i].ApartFrom = append(c.Groups[i].ApartFrom, c.Groups[j].Name)
				c.Groups[j].ApartFrom = append(c.Groups[j].ApartFrom, c.Groups[i].Name)
			}
		}
	}
	return c
}

func someGroup(t *rapid.T, name string, nodes []resources.Node) resources.Group {
	back := rapid.SampledFrom([]string{"never", "immediate", "immediate", "12:00-12:30", "Sun,Mon 23:50-00:10"}).Draw(t, "failback")
	f, err := resources.ParseFailback(back)
	if err != nil {
		t.Fatal(err)
	}
	g := resources.Group{Name: name, Failback: f, Weight: rapid.IntRange(0, 3).Draw(t, "weight"),
		Stickiness:    time.Duration(rapid.IntRange(0, 120).Draw(t, "stickiness")) * time.Second,
		HoldDown:      time.Duration(rapid.IntRange(0, 120).Draw(t, "hold-down")) * time.Second,
		FailureWindow: time.Duration(rapid.IntRange(1, 600).Draw(t, "failure window")) * time.Second}
	rank := 0
	order := rapid.Permutation(nodes).Draw(t, "order")
	for _, n := range order[:rapid.IntRange(1, len(order)).Draw(t, "allowed")] {
		g.Nodes = append(g.Nodes, resources.Preference{Node: n.Name, Rank: rank})
		if rapid.Bool().Draw(t, "next rank") {
			rank++
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "resources") {
		r := resources.Resource{Name: fmt.Sprint("r", i), Group: name, Threshold: rapid.IntRange(1, 3).Draw(t, "threshold"),
			OnFailure: rapid.SampledFrom([]resources.OnFailure{resources.OnFailureRestart, resources.OnFailureRestart, resources.OnFailureMove, resources.OnFailureStop}).Draw(t, "on failure")}
		if i > 0 && rapid.Bool().Draw(t, "after") {
			r.After = []string{fmt.Sprint("r", i-1)}
		}
		g.Resources = append(g.Resources, r)
	}
	return g
}

func (w *world) someNode(t *rapid.T) string {
	return rapid.SampledFrom(w.Cluster.Nodes).Draw(t, "node").Name
}

func (w *world) someGroup(t *rapid.T) resources.Group {
	return rapid.SampledFrom(w.Cluster.Groups).Draw(t, "group")
}

func (w *world) someOrder(t *rapid.T) *placement.Order {
	switch rapid.IntRange(0, 3).Draw(t, "order") {
	case 0:
		return nil
	case 1:
		return &placement.Order{By: "ann", Since: w.Now}
	}
	return &placement.Order{By: "bob", Since: w.Now, Until: w.Now.Add(time.Duration(rapid.IntRange(-10, 900).Draw(t, "for")) * time.Second)}
}

// pass lets time go by: nodes that were cut off let go in time.
func (w *world) pass(d time.Duration) {
	w.Now = w.Now.Add(d)
	for node, end := range w.ends {
		if w.Now.Before(end) {
			continue
		}
		delete(w.ends, node)
		for _, on := range w.runs {
			delete(on, node)
		}
	}
}

func (w *world) update(group string, change func(*placement.Group)) {
	st := w.Groups[group]
	change(&st)
	w.Groups[group] = st
}

// cut separates a node from the others. It lets go at some time before its
// lease is over.
func (w *world) cut(t *rapid.T, node string) {
	n, seen := w.Nodes[node]
	if !seen || !n.Present {
		return
	}
	n.Present, n.Since = false, w.Now
	w.Nodes[node] = n
	w.ends[node] = w.Now.Add(time.Duration(rapid.IntRange(0, 11).Draw(t, "lets go after")) * time.Second)
	told := rapid.IntRange(0, 4).Draw(t, "end is known") > 0
	for _, g := range w.Cluster.Groups {
		w.update(g.Name, func(st *placement.Group) {
			if st.Owner == node && told && st.Phase != placement.Failed {
				st.FreeAt = w.Now.Add(w.Cluster.Lease + w.Cluster.Margin)
			}
		})
	}
}

// join brings a node back. What it has let go of, it says so.
func (w *world) join(node string) {
	n := w.Nodes[node]
	if n.Present {
		return
	}
	n.Present, n.Since = true, w.Now
	w.Nodes[node] = n
	_, holds := w.ends[node]
	delete(w.ends, node)
	for _, g := range w.Cluster.Groups {
		w.update(g.Name, func(st *placement.Group) {
			if st.Owner == node {
				st.FreeAt = time.Time{}
				if !holds && st.Phase != placement.Failed {
					w.free(st)
				}
			}
		})
		if w.Groups[g.Name].Owner != node {
			delete(w.runs[g.Name], node) // clean first
		}
	}
}

// fence ends everything on a node, and says so.
func (w *world) fence(node string) {
	n, seen := w.Nodes[node]
	if !seen || n.Present {
		return
	}
	delete(w.ends, node)
	for _, g := range w.Cluster.Groups {
		delete(w.runs[g.Name], node)
		w.update(g.Name, func(st *placement.Group) {
			if st.Owner == node {
				st.FreeAt = w.Now
			}
		})
	}
}

func (w *world) free(st *placement.Group) {
	st.Last, st.Owner, st.Phase, st.Since, st.FreeAt = st.Owner, "", placement.Free, w.Now, time.Time{}
}

// begin begins what a decision says. It fails where two nodes would run a group.
func (w *world) begin(t *rapid.T, d placement.Decision) {
	st := w.Groups[d.Group]
	switch d.Action {
	case placement.Start, placement.Take:
		for node := range w.runs[d.Group] {
			t.Fatalf("%s still runs on %s: %s", d.Group, node, brief(d))
		}
		if last := st.Owner + st.Last; last != "" && last != d.Node { // one of them is empty
			st.Moves = append(st.Moves, placement.Moved{From: last, To: d.Node, When: w.Now, Asked: d.Asked})
		}
		w.runs[d.Group][d.Node] = true
		st.Owner, st.Last, st.FreeAt, st.Phase, st.Since = d.Node, "", time.Time{}, placement.Starting, w.Now
		st.Epoch++
	case placement.Move, placement.Stop:
		st.Phase, st.Since = placement.Stopping, w.Now
	}
	w.Groups[d.Group] = st
}

// advance ends what a node is about with a group, one way or the other.
func (w *world) advance(t *rapid.T, g resources.Group) {
	st := w.Groups[g.Name]
	if st.Owner == "" || !w.Nodes[st.Owner].Present {
		return
	}
	works := rapid.IntRange(0, 3).Draw(t, "works") > 0
	switch {
	case st.Phase == placement.Starting && works:
		st.Phase, st.Since = placement.Running, w.Now
	case st.Phase == placement.Starting && len(g.Resources) > 0:
		r := rapid.SampledFrom(g.Resources).Draw(t, "resource")
		st.Failures = append(st.Failures, placement.Failure{Node: st.Owner, Resource: r.Name, When: w.Now, Fatal: true})
		delete(w.runs[g.Name], st.Owner)
		w.free(&st)
	case st.Phase == placement.Stopping && !works:
		st.Phase, st.Since = placement.Failed, w.Now
	case st.Phase == placement.Stopping, st.Phase == placement.Failed && works:
		delete(w.runs[g.Name], st.Owner)
		w.free(&st)
	}
	w.Groups[g.Name] = st
}

// goOn does all that is planned, and all of it works.
func (w *world) goOn(t *rapid.T) {
	for range 2 { // what is moved is stopped first
		for _, d := range placement.Make(w.State).Decisions {
			w.begin(t, d)
			w.update(d.Group, func(st *placement.Group) {
				switch {
				case !w.Nodes[st.Owner].Present:
				case st.Phase == placement.Starting:
					st.Phase = placement.Running
				case st.Phase == placement.Stopping:
					delete(w.runs[d.Group], st.Owner)
					w.free(st)
				}
			})
		}
	}
}
