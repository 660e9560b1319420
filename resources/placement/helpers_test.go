// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// noon is when the tables play: a Sunday.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }
func in(d time.Duration) time.Time  { return noon.Add(d) }

// stage is a cluster of three nodes that have been there for a day, and a
// witness.
func stage(groups ...resources.Group) placement.State {
	s := placement.State{
		Now: noon,
		Cluster: &resources.Cluster{Name: "test", Lease: 10 * time.Second, Margin: time.Second, MaxMoves: 3, MovesWindow: time.Hour,
			Nodes: []resources.Node{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}, {Name: "w", Witness: true}}, Groups: groups},
		Nodes:  map[string]placement.Node{},
		Groups: map[string]placement.Group{},
	}
	for _, n := range s.Cluster.Nodes {
		s.Nodes[n.Name] = placement.Node{Present: true, Since: ago(24 * time.Hour)}
	}
	return s
}

// group has the resources ip, store and mta, and the nodes n1, n2, n3 in this
// order or as the words say: a b is a before b, a=b likes both alike.
func group(name string, nodes string) resources.Group {
	g := resources.Group{Name: name, Stickiness: time.Minute, HoldDown: time.Minute, FailureWindow: 10 * time.Minute, Weight: 1}
	for rank, word := range strings.Fields(nodes) {
		for node := range strings.SplitSeq(word, "=") {
			g.Nodes = append(g.Nodes, resources.Preference{Node: node, Rank: rank})
		}
	}
	for _, r := range []resources.Resource{{Name: "ip"}, {Name: "store", After: []string{"ip"}}, {Name: "mta", After: []string{"ip"}}} {
		r.Group, r.OnFailure, r.Threshold = name, resources.OnFailureRestart, 3
		g.Resources = append(g.Resources, r)
	}
	return g
}

func runs(node string) placement.Group {
	return placement.Group{Owner: node, Phase: placement.Running, Since: ago(time.Hour), Epoch: 1}
}

func lost(s placement.State, node string, free time.Time) {
	s.Nodes[node] = placement.Node{Since: ago(20 * time.Second)}
	for name, g := range s.Groups {
		if g.Owner == node {
			g.FreeAt = free
			s.Groups[name] = g
		}
	}
}

func order(by string, until time.Time) *placement.Order {
	return &placement.Order{By: by, Since: ago(5 * time.Minute), Until: until}
}

func fails(node, resource string, n int) []placement.Failure {
	var all []placement.Failure
	for i := range n {
		all = append(all, placement.Failure{Node: node, Resource: resource, When: ago(time.Duration(i+1) * time.Minute)})
	}
	return all
}

// failsNow are failures of which the last was a second ago.
func failsNow(node, resource string, n int) []placement.Failure {
	var all []placement.Failure
	for i := range n {
		all = append(all, placement.Failure{Node: node, Resource: resource, When: ago(time.Duration(i+1) * time.Second)})
	}
	return all
}

// brief is a decision in a line.
func brief(d placement.Decision) string {
	s := fmt.Sprintf("%s %s", d.Group, d.Action)
	if d.From != "" {
		s += " from " + d.From
	}
	if d.Node != "" {
		s += " on " + d.Node
	}
	if len(d.Abandon) > 0 {
		s += fmt.Sprint(" without ", d.Abandon)
	}
	if d.Asked {
		s += " (asked)"
	}
	if !d.NotBefore.IsZero() {
		s += " not before " + d.NotBefore.Format("15:04:05")
	}
	return s + ": " + d.Reason
}

func briefs(p placement.Plan) string {
	var lines []string
	for _, d := range p.Decisions {
		lines = append(lines, brief(d))
	}
	return strings.Join(lines, "\n")
}

func failback(t *testing.T, text string) resources.Failback {
	t.Helper()
	f, err := resources.ParseFailback(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
