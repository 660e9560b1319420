// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// role wants a monitor to find the resource in a role, at all depths.
func role(t testing.TB, r resource, n *lab.Node, code int) {
	t.Helper()
	for _, depth := range []int{0, 10, 20} {
		r.must(t, n, "monitor", call{interval: 10 * time.Second, depth: depth}, code)
	}
	r.must(t, n, "monitor", call{}, code)
}

// A directory runs everywhere, and is written to where it is promoted.
func TestDirectory(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	own1, own2 := one.Addr4().String(), two.Addr4().String()
	r := directory()
	role(t, r, one, notRunning)
	r.must(t, one, "promote", call{}, notRunning)
	r.must(t, one, "demote", call{}, notRunning)
	p.start(r)
	for _, n := range p.Nodes() {
		role(t, r, n, success)
		r.must(t, n, "demote", call{}, success)
		r.start(t, n)
	}
	p.refused(own1, "x")
	p.refused(own2, "x")

	r.must(t, one, "promote", call{}, success)
	role(t, r, one, runningPromoted)
	role(t, r, two, success)
	r.start(t, one)
	r.must(t, one, "promote", call{}, success)
	r.must(t, one, "reload-agent", call{}, success)
	p.written(vip4, "first")
	p.refused(own2, "x")
	p.has(two, "first")

	// The address tells who is promoted, and keeps a second one from it.
	if a := r.set("probe_wait", "1s").must(t, two, "promote", call{}, generic); !strings.Contains(a.reason, "in use by") {
		t.Errorf("the reason does not name the address: %s", a.reason)
	}
	role(t, r, two, success)
	p.refused(own2, "x")

	r.must(t, one, "demote", call{}, success)
	role(t, r, one, success)
	p.refused(own1, "x")
	r.must(t, two, "promote", call{}, success)
	role(t, r, two, runningPromoted)
	p.written(vip4, "second")
	p.has(one, "second")

	// A stop without a demote before it does the same.
	r.stop(t, two)
	role(t, r, two, notRunning)
	bare(t, two)
	r.must(t, one, "promote", call{}, success)
	p.written(vip4, "third")
	r.start(t, two)
	p.has(two, "third")
	r.stop(t, one)
	bare(t, one)
	r.stop(t, two)
	bare(t, two)
}

// Without addresses of its own a promoted replica has nothing to close, and is
// followed by others while it hands over.
func TestDirectoryWithoutAddresses(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory("ip", "")
	p.start(r)
	r.must(t, one, "promote", call{}, success)
	role(t, r, one, runningPromoted)
	p.written(one.Addr4().String(), "first")
	run(t, one, "rm -r /run/mailha")
	role(t, r, one, runningPromoted) // says the server itself
	a := r.must(t, one, "demote", call{}, success)
	if !strings.Contains(a.log, "left=0") {
		t.Errorf("not handed over: %s", a)
	}
	role(t, r, one, success)
	p.refused(one.Addr4().String(), "x")
	p.has(two, "first")
	for _, n := range p.Nodes() {
		r.stop(t, n)
		bare(t, n)
	}
}

// Clients write while the promoted role moves from node to node: none of what was
// acknowledged is lost, and those who come meanwhile are told so.
func testDirectoryMoves(t *testing.T) {
	p := replicasOf(t, 3)
	r := directory("drain_timeout", "10s")
	p.start(r)
	nodes := p.Nodes()
	r.must(t, nodes[0], "promote", call{}, success)
	w := p.startWriters("moves", 400)
	for i := range 6 {
		from, to := nodes[i%3], nodes[(i+1)%3]
		w.taken(200)
		began := time.Now()
		a := r.must(t, from, "demote", call{}, success)
		if !strings.Contains(a.log, "left=0") {
			t.Errorf("not handed over: %s", a)
		}
		b := r.must(t, to, "promote", call{}, success)
		w.taken(1)
		t.Logf("demote %s, promote %s, %s until the next write was acknowledged", a.took.Round(time.Millisecond), b.took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	w.taken(200)
	counts := w.stop()
	t.Logf("%+v", counts)
	if w.replies("result 53 ") == 0 {
		t.Error("nobody was told that writes are not taken")
	}
	for _, n := range nodes {
		await(t, patience, "replicas to be alike", func() bool { return w.audit(n).Lost == 0 })
		if res := w.audit(n); !res.OK() || res.Stray > 0 {
			t.Errorf("%s: %+v", n.Name(), res)
		}
	}
	for _, n := range nodes {
		r.stop(t, n)
		bare(t, n)
	}
}
