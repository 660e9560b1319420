// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// Whatever happens, in whatever order, the rules hold.
func TestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"":       func(t *rapid.T) { judge(t, w.State) },
			"time":   func(t *rapid.T) { w.pass(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second) },
			"moment": func(t *rapid.T) { w.pass(time.Second) },
			"again": func(t *rapid.T) {
				if next := placement.Make(w.State).Again; !next.IsZero() {
					w.pass(next.Sub(w.Now))
				}
			},
			"cut":   func(t *rapid.T) { w.cut(t, w.someNode(t)) },
			"join":  func(t *rapid.T) { w.join(w.someNode(t)) },
			"fence": func(t *rapid.T) { w.fence(w.someNode(t)) },
			"node": func(t *rapid.T) {
				name := w.someNode(t)
				if n, seen := w.Nodes[name]; seen {
					if rapid.Bool().Draw(t, "standby") {
						n.Standby = w.someOrder(t)
					} else {
						n.Maintenance = w.someOrder(t)
					}
					w.Nodes[name] = n
				}
			},
			"maintenance": func(t *rapid.T) { w.Maintenance = w.someOrder(t) },
			"group": func(t *rapid.T) {
				node, o := w.someNode(t), w.someOrder(t)
				w.update(w.someGroup(t).Name, func(st *placement.Group) {
					switch what := rapid.IntRange(0, 2).Draw(t, "what"); {
					case what == 0:
						st.Stopped = o
					case o == nil:
						st.Wish, st.Bans = nil, nil
					case what == 1:
						st.Wish = &placement.Wish{Node: node, Order: *o}
					default:
						st.Bans = append(st.Bans, placement.Ban{Node: node, Order: *o})
					}
				})
			},
			"fail": func(t *rapid.T) {
				g := w.someGroup(t)
				w.update(g.Name, func(st *placement.Group) {
					if st.Phase == placement.Running && w.Nodes[st.Owner].Present && len(g.Resources) > 0 {
						r := rapid.SampledFrom(g.Resources).Draw(t, "resource")
						st.Failures = append(st.Failures, placement.Failure{Node: st.Owner, Resource: r.Name, When: w.Now, Fatal: rapid.IntRange(0, 3).Draw(t, "fatal") == 0})
					}
				})
			},
			"begin": func(t *rapid.T) {
				// They were planned together; some are begun, whatever has happened since.
				for _, d := range placement.Make(w.State).Decisions {
					if rapid.Bool().Draw(t, "begin") {
						w.begin(t, d)
					}
				}
			},
			// A while without a fault, so that what follows meets groups that run.
			"go on":   func(t *rapid.T) { w.goOn(t) },
			"calm":    func(t *rapid.T) { w.goOn(t) },
			"advance": func(t *rapid.T) { w.advance(t, w.someGroup(t)) },
			"all": func(t *rapid.T) {
				for _, g := range w.Cluster.Groups {
					w.advance(t, g)
				}
			},
		})
	})
}

func holds(s placement.State, o *placement.Order) bool {
	return o != nil && (o.Until.IsZero() || s.Now.Before(o.Until))
}

// judge makes a plan and sees that it keeps the rules.
func judge(t *rapid.T, s placement.State) {
	p := placement.Make(s)
	if len(p.Decisions) != len(s.Cluster.Groups) {
		t.Fatalf("%d decisions about %d groups", len(p.Decisions), len(s.Cluster.Groups))
	}
	for _, g := range s.Cluster.Groups {
		d, ok := p.Of(g.Name)
		if !ok {
			t.Fatalf("no decision about %s", g.Name)
		}
		if d.Reason == "" || strings.ContainsAny(d.Reason, "\n") || strings.Contains(d.Reason, "  ") || strings.HasSuffix(d.Reason, " ") {
			t.Fatalf("a reason of no use: %s", brief(d))
		}
		judgeOne(t, s, g, d)
	}
	judgeRepeated(t, s, p)
	judgeLater(t, s, p)
}

// judgeOne sees that a decision is allowed.
func judgeOne(t *rapid.T, s placement.State, g resources.Group, d placement.Decision) {
	st := s.Groups[g.Name]
	fail := func(what string) {
		t.Helper()
		t.Fatalf("%s: %s\n%+v", what, brief(d), st)
	}
	owner, owned := s.Nodes[st.Owner], st.Owner != ""
	cared := holds(s, s.Maintenance) || owned && holds(s, owner.Maintenance)
	switch d.Action {
	case placement.Start:
		if owned || st.Phase != "" && st.Phase != placement.Free {
			fail("started though somebody has it")
		}
	case placement.Take:
		if !owned || owner.Present || st.FreeAt.IsZero() || s.Now.Before(st.FreeAt) {
			fail("taken too early")
		}
	case placement.Move, placement.Stop, placement.Keep:
		if !owned || !owner.Present || st.Phase != placement.Running && st.Phase != placement.Starting {
			fail("moved, stopped or kept though it does not run")
		}
	}
	acts := d.Action == placement.Start || d.Action == placement.Take || d.Action == placement.Move || d.Action == placement.Stop
	if acts && cared {
		fail("something done in maintenance")
	}
	if d.Action == placement.Keep && (d.Node != st.Owner || !cared && holds(s, st.Stopped)) {
		fail("kept for no reason")
	}
	if acts && d.Action != placement.Stop {
		judgeNode(s, g, d, fail)
	}
	elsewhere := d.Action == placement.Start && st.Last != "" && st.Last != d.Node
	if d.Action == placement.Move || d.Action == placement.Take || elsewhere {
		judgeMove(s, g, d, fail)
	}
	if d.Action == placement.Wait && d.Node == "" && !cared {
		judgeWait(s, g, fail)
	}
	for _, name := range d.Abandon {
		if !slices.ContainsFunc(st.Failures, func(f placement.Failure) bool { return f.Node == d.Node && f.Resource <= name }) {
			fail("abandoned without a failure")
		}
	}
}

// judgeNode sees that a group may go to a node.
func judgeNode(s placement.State, g resources.Group, d placement.Decision, fail func(string)) {
	n, seen := s.Nodes[d.Node]
	declared, _ := s.Cluster.Node(d.Node)
	_, allowed := g.Rank(d.Node)
	banned := slices.ContainsFunc(s.Groups[g.Name].Bans, func(b placement.Ban) bool { return b.Node == d.Node && holds(s, &b.Order) })
	switch {
	case !seen, !n.Present:
		fail("put on a node that is not there")
	case declared.Witness, !allowed:
		fail("put on a node that may not run it")
	case holds(s, n.Standby), holds(s, n.Maintenance), banned:
		fail("put on a node against an order")
	case holds(s, s.Groups[g.Name].Stopped):
		fail("put on a node though it is stopped")
	case len(g.Resources) > 0 && len(d.Abandon) == len(g.Resources):
		fail("put on a node where nothing of it would run")
	}
}

// judgeMove sees that nothing moves too often.
func judgeMove(s placement.State, g resources.Group, d placement.Decision, fail func(string)) {
	st := s.Groups[g.Name]
	if d.Node == st.Owner {
		fail("moved to where it is")
	}
	if d.Asked {
		from := st.Owner + st.Last // one of them is empty
		orders := holds(s, s.Nodes[from].Standby) || slices.ContainsFunc(st.Bans, func(b placement.Ban) bool { return b.Node == from && holds(s, &b.Order) })
		if !orders && (st.Wish == nil || st.Wish.Node != d.Node || !holds(s, &st.Wish.Order)) {
			fail("nobody has asked for it")
		}
		return
	}
	recent := 0
	for _, m := range st.Moves {
		if !m.Asked && m.When.After(s.Now.Add(-s.Cluster.MovesWindow)) {
			recent++
		}
		if d.Action == placement.Move && m.When.After(s.Now.Add(-g.HoldDown)) {
			fail("moved within its hold-down")
		}
	}
	if s.Cluster.MaxMoves > 0 && recent >= s.Cluster.MaxMoves {
		fail("moved too often")
	}
	failed := slices.ContainsFunc(st.Failures, func(f placement.Failure) bool {
		return f.Node == st.Owner && f.When.After(s.Now.Add(-g.FailureWindow))
	})
	if d.Action == placement.Move && !failed && !g.Failback.Allows(s.Now) {
		fail("not sticky")
	}
}

// judgeWait sees that a group that is nowhere to go has a reason.
func judgeWait(s placement.State, g resources.Group, fail func(string)) {
	st := s.Groups[g.Name]
	lost := st.Owner != "" && !s.Nodes[st.Owner].Present
	if holds(s, st.Stopped) || st.Phase == placement.Failed || lost && st.FreeAt.IsZero() {
		return
	}
	if s.Cluster.MaxMoves > 0 && len(st.Moves) >= s.Cluster.MaxMoves {
		return
	}
	for _, n := range g.Nodes {
		node := s.Nodes[n.Node]
		banned := slices.ContainsFunc(st.Bans, func(b placement.Ban) bool { return b.Node == n.Node && holds(s, &b.Order) })
		failed := slices.ContainsFunc(st.Failures, func(f placement.Failure) bool { return f.Node == n.Node })
		if node.Present && !holds(s, node.Standby) && !holds(s, node.Maintenance) && !banned && !failed {
			fail("it waits though it could be on " + n.Node)
		}
	}
}

// Reasons may be about times; what is done may not.
var wordless = cmpopts.IgnoreFields(placement.Decision{}, "Reason", "NotBefore")

// judgeRepeated sees that a plan that was carried out leaves nothing to do, and
// that the order in which things were noted does not matter.
func judgeRepeated(t *rapid.T, s placement.State, p placement.Plan) {
	shuffled := placement.Settle(s, placement.Plan{}) // a copy
	for name, st := range shuffled.Groups {
		slices.Reverse(st.Failures)
		slices.Reverse(st.Moves)
		shuffled.Groups[name] = st
	}
	if diff := cmp.Diff(p, placement.Make(shuffled)); diff != "" {
		t.Fatalf("the same state has another plan (-first +second)\n%s", diff)
	}
	settled := placement.Settle(s, p)
	for _, d := range placement.Make(settled).Decisions {
		if d.Action != placement.Keep && d.Action != placement.Wait {
			before, _ := p.Of(d.Group)
			t.Fatalf("there is something left to do after the plan\nfirst:\n%s\nthen:\n%s\nabout %s", briefs(p), briefs(placement.Make(settled)), before.Group)
		}
	}
}

// judgeLater sees that nothing changes by itself before the plan says so.
func judgeLater(t *rapid.T, s placement.State, p placement.Plan) {
	wait := 100 * 24 * time.Hour
	if !p.Again.IsZero() {
		if !p.Again.After(s.Now) {
			t.Fatalf("again at %s, and it is %s", p.Again, s.Now)
		}
		wait = p.Again.Sub(s.Now)
	}
	for _, share := range []float64{rapid.Float64Range(0, 1).Draw(t, "later"), 1} {
		later := s
		later.Now = s.Now.Add(min(time.Duration(share*float64(wait)), wait-1))
		if diff := cmp.Diff(p.Decisions, placement.Make(later).Decisions, wordless); diff != "" {
			t.Fatalf("at %s the plan is another one than at %s, though it holds until %s (-now +later)\n%s", later.Now, s.Now, p.Again, diff)
		}
	}
}

func TestWhatIf(t *testing.T) {
	s := stage(group("mail", "n1 n2 n3"), group("news", "n2 n3"), group("dir", "n1"))
	s.Groups["mail"], s.Groups["news"], s.Groups["dir"] = runs("n1"), runs("n2"), runs("n1")
	before := placement.Settle(s, placement.Plan{})
	got := placement.WhatIf(s, placement.NodeDown("n1"))
	want := []placement.Difference{
		{Group: "mail", From: "n1", To: "n2", Decision: placement.Decision{Group: "mail", Action: placement.Take, From: "n1", Node: "n2",
			Reason: "n1 is lost since 12:00:00, and n2 is the first of its nodes that can run it"}},
		{Group: "dir", From: "n1", Decision: placement.Decision{Group: "dir", Action: placement.Wait, From: "n1",
			Reason: "n1 is lost since 12:00:00; no node left: n1 is lost since 12:00:00; mailhactl explain dir"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(before.Groups, s.Groups); diff != "" {
		t.Errorf("the state itself was changed\n%s", diff)
	}
	if got := placement.WhatIf(s, placement.NodeStandby("n2")); len(got) != 1 || got[0].To != "n3" {
		t.Errorf("standby of n2: %+v", got)
	}
	if got := placement.WhatIf(s, placement.At(in(time.Hour))); got != nil {
		t.Errorf("an hour later: %+v", got)
	}
	other := *s.Cluster
	other.Groups = []resources.Group{group("mail", "n3"), s.Cluster.Groups[1], s.Cluster.Groups[2]}
	if got := placement.WhatIf(s, placement.Configured(&other)); len(got) != 1 || got[0].To != "n3" {
		t.Errorf("another file: %+v", got)
	}
	back := s.Cluster.Groups[1]
	back.Failback = resources.Failback{Always: true}
	s.Cluster.Groups[1], s.Groups["news"] = back, runs("n3")
	lost(s, "n2", time.Time{})
	if got := placement.WhatIf(s, placement.NodeUp("n2")); len(got) != 1 || got[0].To != "n2" {
		t.Errorf("n2 is back: %+v", got)
	}
}

func TestExplain(t *testing.T) {
	s := stage(group("mail", "n1 n2 n3"), group("news", "n2"))
	st := runs("n1")
	st.Failures = fails("n3", "mta", 3)
	s.Groups["mail"], s.Groups["news"] = st, runs("n2")
	s.Nodes["n1"] = placement.Node{Present: true, Standby: order("ann", time.Time{})}
	want := []placement.Verdict{
		{Node: "n1", Why: "n1 is on standby by ann"},
		{Node: "n2", Rank: 1, Load: 1},
		{Node: "n3", Rank: 2, Why: "mta failed 3 times on n3 within 10m"},
	}
	if diff := cmp.Diff(want, placement.Explain(s, "mail")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := placement.Explain(s, "no such"); got != nil {
		t.Errorf("got %+v", got)
	}
}
