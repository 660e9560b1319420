// SPDX-License-Identifier: Apache-2.0

//go:build machines

package labtests

import (
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// pills is a cluster of mailhad that fences its first node through its own etcd.
const pills = `[cluster]
name = "pills"
max_fencings = 0

[etcd] # one of its members is emulated
heartbeat = "200ms"
election = "2s"

[watchdog] # which is mailha-fenced's
mode = "off"
` + threeNodes + `
[[fence]]
name = "pill"
agent = "fence_mailha"
nodes = ["node1"]
timeout = "1m"

[[group]]
name = "g"
nodes = ["node1", ["node2", "node3"]]
takeover = "fenced"
failback = "immediate"
stickiness = "0s"

[[resource]]
name = "ip"
kind = "vip"
group = "g"

[resource.params]
ip = ["10.77.0.60"]
`

// mailhad fences a node through its own etcd: one whose mailhad stands still takes the pill,
// one whose programs all do is off when its watchdog is sure to have acted.
func TestMachineFencedByMailhad(t *testing.T) {
	p := newPlace(t, lab.Config{Nodes: 3, Machines: 1})
	g := newGraveyard(t, p, "mailhad mailha-fenced")
	if err := scenario.FormMailhad(g.ctx, p.Lab, pills); err != nil {
		t.Fatal(err)
	}
	g.awake()
	g.until("the address to be on the machine", func() bool { return g.holds(g.machine) })

	t.Log("mailhad stands still")
	boot := g.boot()
	took := g.fenced(func() { g.on(g.machine, "systemctl kill --signal=STOP --kill-whom=main mailhad") })
	t.Logf("taken: the address is elsewhere after %.2f s; %s", took.Seconds(), g.told())
	if took > pillLimit {
		t.Errorf("a pill that was taken took %s", took)
	}
	g.comeBack(boot)

	t.Log("all programs of the node stand still")
	boot = g.boot()
	took = g.fenced(g.freezePrograms)
	t.Logf("frozen: the address is elsewhere after %.2f s; %s", took.Seconds(), g.told())
	if took < pillLimit {
		t.Errorf("a node that says nothing was replaced after %s, sooner than its watchdog is sure to act", took)
	}
	g.comeBack(boot)
}

// told is what mailhad says of the machine's last end.
func (g *graveyard) told() string {
	g.t.Helper()
	out := g.on(g.fencer, "mailhactl fence history")
	if !strings.Contains(out, "node1: fenced by node") {
		g.t.Errorf("the history says %s", out)
	}
	return strings.TrimSpace(out)
}
