// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// armed is a cluster of three whose nodes can switch one another off; MODE is how the device
// acts.
const armed = `[cluster]
name = "armed"
` + threeNodes + `
[[fence]]
name = "power"
agent = "fence_lab"
nodes = ["node1", "node2", "node3"]
action = "off"
timeout = "2s"
attempts = 1
verify = "20ms"

[fence.parameters]
mode = "MODE"
late = 5
` + wandering

// garrison forms the cluster.
func garrison(t *testing.T) crew {
	t.Helper()
	p := newPlace(t, lab.Config{Nodes: 3})
	if err := p.ServeFencing(); err != nil {
		t.Fatal(err)
	}
	r := crew{t, p.Nodes()}
	if err := scenario.FormMailhad(t.Context(), p.Lab, strings.ReplaceAll(armed, "MODE", "works")); err != nil {
		t.Fatal(err)
	}
	r.present()
	r.until("node1")
	return r
}

// present waits until all nodes are, and hear one another.
func (r crew) present() {
	r.t.Helper()
	await(r.t, time.Minute, "all nodes to be present", func() bool {
		online := 0
		for _, n := range r.status(r.nodes[0]).Nodes {
			if n.State != "offline" {
				online++
			}
		}
		return online == len(r.nodes)
	})
}

// mode has the device act as the lab's agent can.
func (r crew) mode(by *lab.Node, mode string) {
	r.t.Helper()
	push(r.t, by, "/root/mode.toml", strings.ReplaceAll(armed, "MODE", mode))
	r.on(by, "mailhactl config apply --yes /root/mode.toml")
}

// holders are the nodes that run and have the address.
func (r crew) holders() (names []string) {
	r.t.Helper()
	for _, n := range r.nodes {
		if n.Running() && strings.Contains(r.on(n, "ip addr show dev eth0"), "10.77.0.60") {
			names = append(names, n.Name())
		}
	}
	return names
}

// A node that loses its power, or stands still, or is cut off from the others, is
// switched off, and what it had is elsewhere long before its lease is over; and when it
// comes back, it has nothing.
func TestFenced(t *testing.T) {
	r := garrison(t)
	n1, n2 := r.nodes[0], r.nodes[1]
	for _, tt := range []struct {
		name string
		do   func() error
	}{
		{"power cut", func() error { return n1.Kill(t.Context()) }},
		{"freeze", func() error { return n1.Pause(t.Context()) }},
		{"link cut", func() error { return n1.CutLink(t.Context()) }},
	} {
		t.Logf("%s", tt.name)
		before := time.Now()
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		others := crew{t, r.nodes[1:]}
		others.until("node2", "node3")
		const soon = 5 * time.Second // half of the lease, on a busy machine
		if took := time.Since(before); took > soon {
			t.Errorf("%s: taken over after %s", tt.name, took)
		}
		if n1.Running() {
			t.Errorf("%s: the node is still on", tt.name)
		}
		if out := r.on(n2, "mailhactl fence history"); !strings.Contains(out, "node1: fenced by node") {
			t.Errorf("%s: the history says %s", tt.name, out)
		}
		if err := n1.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.on(n1, "systemctl start mailhad")
		r.present()
		if at := r.holders(); len(at) != 1 || at[0] == "node1" {
			t.Errorf("%s: the address is on %v", tt.name, at)
		}
		if tt.name == "power cut" || tt.name == "freeze" {
			r.back(n1)
		} else {
			// The third time within the hour it has to wait for an operator.
			if out := r.on(n2, "mailhactl status"); !strings.Contains(out, "on standby") {
				t.Errorf("%s: the status says %s", tt.name, out)
			}
			r.on(n2, "mailhactl node online node1")
			r.back(n1)
		}
	}
}

// back moves the group to a node.
func (r crew) back(to *lab.Node) {
	r.t.Helper()
	r.on(to, fmt.Sprintf("for i in $(seq 100); do ! mailhactl group move g %s || exit 0; sleep 0.1; done; exit 1", to.Name()))
	r.until(to.Name())
}

// Whatever goes wrong with a fence device, nothing is started beside a node that may
// run, and people are told what to do; a person's word or the lease decides then.
func TestFenceDeviceFails(t *testing.T) {
	r := garrison(t)
	n1, n2 := r.nodes[0], r.nodes[1]
	others := crew{t, r.nodes[1:]}
	for _, mode := range []string{"fails", "hangs", "contradicts", "acts-late"} {
		t.Logf("%s", mode)
		r.mode(n2, mode)
		before := time.Now()
		if err := n1.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, 15*time.Second, "the status to tell", func() bool {
			out := r.on(n2, "mailhactl status")
			return strings.Contains(out, "could not be fenced") && strings.Contains(out, "mailhactl fence confirm node1")
		})
		others.until("node2", "node3")
		const lease = 10 * time.Second
		if took := time.Since(before); took < lease*2/3 {
			t.Errorf("%s: taken over after %s, before the lease was over", mode, took)
		}
		if n1.Running() {
			if err := n1.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := n1.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.on(n1, "systemctl start mailhad")
		r.present()
		if at := r.holders(); len(at) != 1 || at[0] == "node1" {
			t.Errorf("%s: the address is on %v", mode, at)
		}
		r.back(n1)
	}
}

// Nobody who could serve is shot without need: two nodes that cannot hear each other, but
// both hear the third one, and a node that is cut off and has nothing.
func TestSpared(t *testing.T) {
	r := garrison(t)
	n1, n2 := r.nodes[0], r.nodes[1]
	deaf := func(n *lab.Node, of ...string) {
		those := "{ " + strings.Join(of, ", ") + " } drop"
		r.on(n, "nft -f - <<'X'\ntable inet apart {\nchain in { type filter hook input priority -300; ip saddr "+those+"; }\nchain out { type filter hook output priority -300; ip daddr "+those+"; }\n}\nX")
	}
	deaf(n2, n1.Addr4().String())
	const some = 8 * time.Second
	await(t, some, "the silence to be noticed", func() bool {
		return strings.Contains(r.on(n2, "mailhactl status"), "node1 looks dead to node2")
	})
	steady := time.Now().Add(some)
	for time.Now().Before(steady) {
		for _, n := range r.nodes {
			if !n.Running() {
				t.Fatalf("%s was shot though node3 hears it", n.Name())
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	if at := r.holders(); !slices.Equal(at, []string{"node1"}) {
		t.Errorf("the address is on %v", at)
	}
	deaf(n2, r.nodes[2].Addr4().String())
	steady = time.Now().Add(some)
	for time.Now().Before(steady) {
		if !n2.Running() {
			t.Fatal("a node that has nothing was shot")
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.on(n2, "nft delete table inet apart")
	r.present()
	if at := r.holders(); !slices.Equal(at, []string{"node1"}) {
		t.Errorf("the address is on %v", at)
	}
}
