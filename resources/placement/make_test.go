// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

func TestMake(t *testing.T) {
	for name, tt := range map[string]struct {
		state func() placement.State
		want  string
		again time.Time
	}{
		"first start": {func() placement.State {
			return stage(group("mail", "n1 n2"), group("news", "n1 n2"), group("dir", "n1=n2=n3"))
		}, `mail start on n1: it is stopped, and n1 is the first of its nodes that can run it
news start on n1: it is stopped, and n1 is the first of its nodes that can run it
dir start on n2: it is stopped, and n2 has the least to do of its nodes`, time.Time{}},
		"all is well": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			s.Groups["mail"] = runs("n1")
			return s
		}, "mail keep on n1: it runs on n1", time.Time{}},
		"load of unlike weights": {func() placement.State {
			big := group("big", "n1=n2=n3")
			big.Weight = 10
			s := stage(big, group("a", "n1=n2=n3"), group("b", "n1=n2"), group("c", "n1=n2=n3"))
			s.Groups["b"] = runs("n2")
			return s
		}, `big start on n1: it is stopped, and n1 has the least to do of its nodes
a start on n3: it is stopped, and n3 has the least to do of its nodes
c start on n2: it is stopped, and n2 has the least to do of its nodes
b keep on n2: it runs on n2`, time.Time{}},
		"node lost, lease runs": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"), group("news", "n2"))
			s.Groups["mail"], s.Groups["news"] = runs("n1"), runs("n2")
			lost(s, "n1", in(3*time.Second))
			return s
		}, `mail wait from n1 on n2 not before 12:00:03: n1 is lost since 11:59:40; n2 takes it over at 12:00:03, when the lease is over for certain
news keep on n2: it runs on n2`, in(3 * time.Second)},
		"node lost, lease over": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = runs("n1")
			lost(s, "n1", noon)
			return s
		}, "mail take from n1 on n2: n1 is lost since 11:59:40, and n2 is the first of its nodes that can run it", time.Time{}},
		"node lost, nobody knows since when": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = runs("n1")
			lost(s, "n1", time.Time{})
			return s
		}, "mail wait from n1: n1 is lost since 11:59:40, and nothing proves that the group has ended there; make sure that the node is off, then mailhactl node fenced n1", time.Time{}},
		"restored, and not all were heard": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"), group("news", "n2"), group("web", "n1"))
			s.Groups["news"], s.Groups["web"] = runs("n2"), placement.Group{Phase: placement.Free, Last: "n1"}
			lost(s, "n2", noon)
			s.Unheard = []string{"n2", "n3"}
			return s
		}, `mail wait: the cluster was restored, and what n2 and n3 may still run is not known: start mailhad there, or make sure that it is off, then mailhactl node fenced n2
news wait from n2: n2 is lost since 11:59:40, and the cluster was restored, and what n2 and n3 may still run is not known: start mailhad there, or make sure that it is off, then mailhactl node fenced n2
web wait: the cluster was restored, and what n2 and n3 may still run is not known: start mailhad there, or make sure that it is off, then mailhactl node fenced n2`, time.Time{}},
		"owner never seen": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = runs("n9")
			return s
		}, "mail wait from n9: n9 is lost, and nothing proves that the group has ended there; make sure that the node is off, then mailhactl node fenced n9", time.Time{}},
		"stop failed, then the node was lost": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = placement.Group{Owner: "n1", Phase: placement.Failed, Since: ago(time.Minute)}
			lost(s, "n1", time.Time{})
			return s
		}, "mail wait from n1: n1 is lost since 11:59:40, and nothing proves that the group has ended there; make sure that the node is off, then mailhactl node fenced n1", time.Time{}},
		"stop failed": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = placement.Group{Owner: "n1", Phase: placement.Failed, Since: ago(time.Minute)}
			return s
		}, "mail wait from n1: n1 could not stop it since 11:59:00, and what is left there may still write; see journalctl -u mailhad on n1, or have it switched off: mailhactl fence n1", time.Time{}},
		"owner that stops": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = placement.Group{Owner: "n1", Phase: placement.Stopping, Since: ago(time.Minute)}
			return s
		}, "mail wait from n1 on n1: n1 is stopping it since 11:59:00; then it starts on n1", time.Time{}},
		"broken records": {func() placement.State {
			s := stage(group("a", "n1"), group("b", "n1"), group("c", "n1"))
			s.Groups["a"] = placement.Group{Phase: placement.Running}
			s.Groups["b"] = placement.Group{Phase: placement.Free, Owner: "n1"}
			s.Groups["c"] = placement.Group{Phase: "odd", Owner: "n1"}
			return s
		}, `a wait: its record makes no sense (phase "running", owner ""), so that nobody may touch it; if it runs nowhere, mailhactl group release a
b wait from n1: its record makes no sense (phase "free", owner "n1"), so that nobody may touch it; if it runs nowhere, mailhactl group release b
c wait from n1: its record makes no sense (phase "odd", owner "n1"), so that nobody may touch it; if it runs nowhere, mailhactl group release c`, time.Time{}},
		"no node left": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = runs("n1")
			lost(s, "n1", ago(time.Second))
			s.Nodes["n2"] = placement.Node{Present: true, Since: ago(time.Hour), Standby: order("ann", time.Time{})}
			g := s.Groups["mail"]
			g.Bans = []placement.Ban{{Node: "n3", Order: *order("bob", in(time.Hour))}}
			s.Groups["mail"] = g
			return s
		}, "mail wait from n1: n1 is lost since 11:59:40; no node left: n1 is lost since 11:59:40; n2 is on standby by ann; it is banned from n3 by bob until 13:00:00; mailhactl explain mail", in(time.Hour)},
		"standby": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = runs("n1")
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(time.Hour), Standby: order("ann", in(26*time.Hour))}
			return s
		}, "mail move from n1 on n2 (asked): n1 is on standby by ann until 2026-11-23 14:00:00, and n2 is the first of its nodes that can run it", in(26 * time.Hour)},
		"standby of the last one": {func() placement.State {
			s := stage(group("mail", "n1"))
			s.Groups["mail"] = runs("n1")
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(time.Hour), Standby: order("ann", time.Time{})}
			return s
		}, "mail stop from n1 (asked): n1 is on standby by ann; no node left: n1 is on standby by ann; mailhactl explain mail", time.Time{}},
		"orders that are over": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			g := runs("n1")
			g.Bans = []placement.Ban{{Node: "n1", Order: *order("bob", noon)}}
			g.Wish = &placement.Wish{Node: "n2", Order: *order("bob", ago(time.Second))}
			g.Stopped = order("bob", noon)
			s.Groups["mail"] = g
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(time.Hour), Standby: order("ann", noon), Maintenance: order("ann", noon)}
			s.Maintenance = order("ann", noon)
			return s
		}, "mail keep on n1: it runs on n1", time.Time{}},
		"maintenance of the cluster": {func() placement.State {
			s := stage(group("mail", "n1 n2"), group("news", "n2"), group("dir", "n3"))
			s.Groups["mail"], s.Groups["news"] = runs("n1"), runs("n2")
			lost(s, "n1", ago(time.Second))
			s.Nodes["n2"] = placement.Node{Present: true, Since: ago(time.Hour), Standby: order("ann", time.Time{})}
			s.Maintenance = order("bob", in(2*time.Hour))
			return s
		}, `mail wait from n1: n1 is lost since 11:59:40, and the cluster is in maintenance by bob until 14:00:00: it is not taken over
dir wait not before 14:00:00: it is stopped, and the cluster is in maintenance by bob until 14:00:00
news keep on n2: it is on n2, and the cluster is in maintenance by bob until 14:00:00: it is left alone`, in(2 * time.Hour)},
		"maintenance of a node": {func() placement.State {
			s := stage(group("mail", "n1 n2"), group("news", "n1 n2"))
			g := runs("n1")
			g.Failures = fails("n1", "mta", 5)
			s.Groups["mail"] = g
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(time.Hour), Maintenance: order("bob", time.Time{})}
			return s
		}, `news start on n2: it is stopped, and n2 is the only one of its nodes that is left
mail keep on n1: it is on n1, and n1 is in maintenance by bob: it is left alone`, in(5 * time.Minute)},
		"wish": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			g := runs("n1")
			g.Wish = &placement.Wish{Node: "n3", Order: *order("bob", in(time.Hour))}
			g.Moves = []placement.Moved{{From: "n2", To: "n1", When: ago(time.Second)}}
			g.Failures = fails("n3", "mta", 1)
			g.Failures[0].When, g.Failures[0].Fatal = ago(6*time.Minute), true // before the wish
			s.Groups["mail"] = g
			return s
		}, "mail move from n1 on n3 (asked): it is wanted on n3 by bob until 13:00:00", in(59 * time.Second)},
		"wish that is granted": {func() placement.State {
			g := group("mail", "n1 n2 n3")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			st := runs("n3")
			st.Wish = &placement.Wish{Node: "n3", Order: *order("bob", in(time.Hour))}
			s.Groups["mail"] = st
			return s
		}, "mail keep on n3: it runs on n3, where it is wanted by bob until 13:00:00", in(time.Hour)},
		"wish that cannot be granted": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			g := runs("n1")
			g.Wish = &placement.Wish{Node: "n3", Order: *order("bob", time.Time{})}
			s.Groups["mail"] = g
			lost(s, "n3", time.Time{})
			return s
		}, "mail keep on n1: it runs on n1; it is wanted on n3 by bob, but n3 is lost since 11:59:40", time.Time{}},
		"stopped by an operator": {func() placement.State {
			s := stage(group("mail", "n1 n2"), group("news", "n2"))
			g := runs("n1")
			g.Stopped = order("bob", time.Time{})
			s.Groups["mail"] = g
			s.Groups["news"] = placement.Group{Phase: placement.Free, Last: "n2", Stopped: order("bob", in(time.Hour))}
			return s
		}, `mail stop from n1 (asked): it is to be stopped by bob
news wait not before 13:00:00: it is stopped by bob until 13:00:00; mailhactl group start news`, in(time.Hour)},
		"node taken out of the file": {func() placement.State {
			s := stage(group("mail", "n2 n3"))
			s.Groups["mail"], s.Groups["gone"] = runs("n1"), runs("n1")
			return s
		}, `gone stop from n1: it is no longer in the configuration
mail move from n1 on n2 (asked): n1 is not among its nodes in the configuration, and n2 is the first of its nodes that can run it`, time.Time{}},
		"below the threshold": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			g := runs("n1")
			g.Failures = append(fails("n1", "mta", 2), placement.Failure{Node: "n1", Resource: "mta", When: ago(10 * time.Minute)})
			s.Groups["mail"] = g
			return s
		}, "mail keep on n1: it runs on n1", in(8 * time.Minute)},
		"failures reach the threshold": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			g := runs("n1")
			g.Failures = fails("n1", "mta", 3)
			s.Groups["mail"] = g
			return s
		}, "mail move from n1 on n2: mta failed 3 times on n1 within 10m, and n2 is the only one of its nodes that is left", in(7 * time.Minute)},
		"one failure, and it is to move": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Resources[2].OnFailure = resources.OnFailureMove
			s := stage(g)
			st := runs("n1")
			st.Failures = fails("n1", "mta", 1)
			s.Groups["mail"] = st
			return s
		}, "mail move from n1 on n2: mta failed once on n1 within 10m, and n2 is the only one of its nodes that is left", in(9 * time.Minute)},
		"failures that move nothing": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Resources[1].OnFailure, g.Resources[2].OnFailure = resources.OnFailureIgnore, resources.OnFailureStop
			s := stage(g)
			st := runs("n1")
			st.Failures = append(fails("n1", "mta", 5), fails("n1", "store", 5)...)
			s.Groups["mail"] = st
			return s
		}, "mail keep on n1: it runs on n1", in(5 * time.Minute)},
		"a start that failed": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			s.Groups["mail"] = placement.Group{Phase: placement.Free, Last: "n1", Failures: []placement.Failure{{Node: "n1", Resource: "store", When: ago(time.Second), Fatal: true}}}
			return s
		}, "mail start on n2: it has stopped on n1, and n2 is the only one of its nodes that is left", in(9 * time.Second)},
		"a failure everywhere": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			st := runs("n2")
			st.Failures = append(failsNow("n1", "mta", 3), failsNow("n2", "mta", 3)...)
			s.Groups["mail"] = st
			lost(s, "n3", time.Time{})
			return s
		}, "mail keep on n2 without [mta]: it stays on n2 without mta: mta failed 3 times on n2 within 10m, and no other node is better (mta failed 3 times on n1 within 10m; n3 is lost since 11:59:40); it is tried again at 12:00:09, or after mailhactl resource start mta", in(9 * time.Second)},
		"what comes after it": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			s.Groups["mail"] = placement.Group{Phase: placement.Free, Last: "n1", Failures: append(failsNow("n1", "ip", 3), failsNow("n2", "mta", 3)...)}
			return s
		}, "mail start on n2 without [mta]: it has stopped on n1, and n2 is the best of its nodes that are left without mta: mta failed 3 times on n2 within 10m", in(9 * time.Second)},
		"nothing would run anywhere": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			st := runs("n1")
			st.Failures = append(failsNow("n1", "ip", 3), failsNow("n2", "ip", 3)...)
			s.Groups["mail"] = st
			return s
		}, "mail stop from n1: no node left: ip failed 3 times on n1 within 10m; ip failed 3 times on n2 within 10m; mailhactl explain mail", in(9 * time.Second)},
		"tried again after a rest": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			st := runs("n2")
			st.Failures = append(fails("n1", "mta", 3), fails("n2", "mta", 3)...)
			s.Groups["mail"] = st
			lost(s, "n3", time.Time{})
			return s
		}, "mail keep on n2: it stays on n2 and is tried again: mta failed 3 times on n2 within 10m, and no other node is better (mta failed 3 times on n1 within 10m; n3 is lost since 11:59:40)", in(7 * time.Minute)},
		"rests longer with each failure": {func() placement.State {
			s := stage(group("mail", "n1"))
			st := runs("n1")
			st.Failures = failsNow("n1", "mta", 6)
			s.Groups["mail"] = st
			return s
		}, "mail keep on n1 without [mta]: it stays on n1 without mta: mta failed 6 times on n1 within 10m, and no other node is better; it is tried again at 12:01:19, or after mailhactl resource start mta", in(79 * time.Second)},
		"a better node, though it has rested": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			st := runs("n1")
			st.Failures = fails("n1", "mta", 3)
			s.Groups["mail"] = st
			return s
		}, "mail move from n1 on n2: mta failed 3 times on n1 within 10m, and n2 is the only one of its nodes that is left", in(7 * time.Minute)},
		"no return to where it failed": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			st := runs("n2")
			st.Failures = fails("n1", "mta", 3)
			s.Groups["mail"] = st
			return s
		}, "mail keep on n2: it runs on n2, and mta failed 3 times on n1 within 10m", in(7 * time.Minute)},
		"hold-down": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			st := runs("n2")
			st.Failures = failsNow("n2", "mta", 3)
			st.Moves = []placement.Moved{{From: "n1", To: "n2", When: ago(30 * time.Second)}}
			s.Groups["mail"] = st
			return s
		}, "mail keep on n2 without [mta] not before 12:00:30: mta failed 3 times on n2 within 10m; it has just moved to n2 and stays there until 12:00:30 without mta", in(9 * time.Second)},
		"too many moves": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"), group("news", "n1 n2 n3"), group("dir", "n1 n2 n3"))
			moves := []placement.Moved{{When: ago(59 * time.Minute)}, {When: ago(30 * time.Minute)}, {When: ago(2 * time.Minute)}, {When: ago(50 * time.Minute), Asked: true}}
			st := runs("n2")
			st.Failures, st.Moves = failsNow("n2", "mta", 3), moves
			s.Groups["mail"] = st
			st = runs("n3")
			st.Moves = moves
			s.Groups["news"] = st
			s.Groups["dir"] = placement.Group{Phase: placement.Free, Last: "n2", Moves: moves, Failures: failsNow("n2", "mta", 3)}
			lost(s, "n3", ago(time.Second))
			return s
		}, `dir start on n2 without [mta]: it has moved 3 times within 1h and stays on n2 without mta
news wait from n3 not before 12:01:00: n3 is lost since 11:59:40; it has moved 3 times within 1h and is not taken over before 12:01:00, lest it take one node after the other down; mailhactl group move news NODE
mail keep on n2 without [mta] not before 12:01:00: mta failed 3 times on n2 within 10m; it has moved 3 times within 1h and stays on n2 until 12:01:00 without mta`, in(9 * time.Second)},
		"too many moves, and nowhere to stay": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			s.Groups["mail"] = placement.Group{Phase: placement.Free, Last: "n2", Moves: []placement.Moved{{When: ago(1 * time.Minute)}, {When: ago(2 * time.Minute)}, {When: ago(3 * time.Minute)}}}
			lost(s, "n2", time.Time{})
			return s
		}, "mail wait not before 12:57:00: it has moved 3 times within 1h, and is not started elsewhere before 12:57:00 (n2 is lost since 11:59:40); mailhactl group move mail NODE", in(57 * time.Minute)},
		"too many moves, but wanted": {func() placement.State {
			s := stage(group("mail", "n1 n2 n3"))
			s.Groups["mail"] = placement.Group{Phase: placement.Free, Last: "n2", Moves: []placement.Moved{{When: ago(1 * time.Minute)}, {When: ago(2 * time.Minute)}, {When: ago(3 * time.Minute)}},
				Wish: &placement.Wish{Node: "n3", Order: *order("bob", time.Time{})}}
			return s
		}, "mail start on n3 (asked): it has stopped on n2, and it is wanted on n3 by bob", in(57 * time.Minute)},
		"fails back never": {func() placement.State {
			s := stage(group("mail", "n1 n2"))
			s.Groups["mail"] = runs("n2")
			return s
		}, "mail keep on n2: it is on n2; it prefers n1, but never fails back by itself; mailhactl group move mail n1", time.Time{}},
		"fails back later": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			s.Groups["mail"] = runs("n2")
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(50 * time.Second)}
			return s
		}, "mail keep on n2 not before 12:00:10: it is on n2; it prefers n1, and fails back from 12:00:10 on", in(10 * time.Second)},
		"fails back": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			s.Groups["mail"] = runs("n2")
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(time.Minute)}
			return s
		}, "mail move from n2 on n1: it prefers n1, which has been there since 11:59:00", time.Time{}},
		"fails back at night": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "02:00-04:00")
			s := stage(g)
			s.Groups["mail"] = runs("n2")
			return s
		}, "mail keep on n2 not before 02:00:00: it is on n2; it prefers n1, and fails back from 2026-11-23 02:00:00 on", in(14 * time.Hour)},
		"fails back in the window": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "Sun 11:00-13:00")
			s := stage(g)
			s.Groups["mail"] = runs("n2")
			return s
		}, "mail move from n2 on n1: it prefers n1, which has been there since 2026-11-21 12:00:00", in(time.Hour)},
		"waits for the better one": {func() placement.State {
			g := group("mail", "n1 n2 n3")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			s.Groups["mail"] = runs("n3")
			s.Nodes["n1"] = placement.Node{Present: true, Since: ago(30 * time.Second)}
			return s
		}, "mail keep on n3 not before 12:00:30: it is on n3; it prefers n1, and fails back from 12:00:30 on", in(30 * time.Second)},
		"does not fail back while it starts": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			s.Groups["mail"] = placement.Group{Owner: "n2", Phase: placement.Starting}
			return s
		}, "mail keep on n2: n2 is starting it; it prefers n1", time.Time{}},
		"does not fail back to where it fails": {func() placement.State {
			g := group("mail", "n1 n2")
			g.Failback = failback(t, "immediate")
			s := stage(g)
			st := runs("n2")
			st.Failures = fails("n1", "mta", 3)
			s.Groups["mail"] = st
			return s
		}, "mail keep on n2: it runs on n2, and mta failed 3 times on n1 within 10m", in(7 * time.Minute)},
		"apart": {func() placement.State {
			a, b := group("a", "n1 n2"), group("b", "n1 n2")
			a.ApartFrom, b.ApartFrom = []string{"b"}, []string{"a"}
			return stage(a, b)
		}, `a start on n1: it is stopped, and n1 is the first of its nodes that can run it
b start on n2: it is stopped, and n2 keeps it apart from other groups`, time.Time{}},
		"apart, but one node is left": {func() placement.State {
			a, b := group("a", "n1 n2"), group("b", "n1 n2")
			a.ApartFrom, b.ApartFrom = []string{"b"}, []string{"a"}
			s := stage(a, b)
			s.Groups["a"], s.Groups["b"] = runs("n1"), runs("n2")
			lost(s, "n1", noon)
			return s
		}, `a take from n1 on n2: n1 is lost since 11:59:40, and n2 is the only one of its nodes that is left, even together with b
b keep on n2: it runs on n2, together with a, for no other node is left (n1 is lost since 11:59:40)`, time.Time{}},
		"apart again": {func() placement.State {
			a, b := group("a", "n1 n2"), group("b", "n1 n2")
			a.ApartFrom, b.ApartFrom = []string{"b"}, []string{"a"}
			b.Failback = failback(t, "immediate")
			s := stage(a, b)
			s.Groups["a"], s.Groups["b"] = runs("n2"), runs("n2")
			return s
		}, `b move from n2 on n1: it would be apart from a on n1, which has been there since 2026-11-21 12:00:00
a keep on n2: it runs on n2`, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.state()
			p := placement.Make(s)
			if diff := cmp.Diff(tt.want, briefs(p)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !p.Again.Equal(tt.again) {
				t.Errorf("again at %s, not %s", p.Again, tt.again)
			}
		})
	}
}
