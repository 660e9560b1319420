// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// A node that is taken out of the cluster for good no longer counts for etcd's majority.
func TestMemberIsRemoved(t *testing.T) {
	p := newPlace(t, lab.Config{Nodes: 3})
	c := crew{t, p.Nodes()}
	if err := scenario.FormMailhad(t.Context(), p.Lab, renewing); err != nil {
		t.Fatal(err)
	}
	one, gone := c.nodes[0], c.nodes[2]
	if out := c.fails(one, "mailhactl cluster remove-member node3 2>&1"); !strings.Contains(out, "node3 is in /etc/mailha/mailha.toml") {
		t.Errorf("a node of the configuration: %s", out)
	}
	c.on(gone, "systemctl stop mailhad")
	// The table of node3 is the last one of the nodes.
	without := renewing[:strings.Index(renewing, "[[node]]\nname = \"node3\"")] + renewing[strings.Index(renewing, "[[group]]"):]
	for _, n := range c.nodes[:2] {
		if err := n.Push("/etc/mailha/mailha.toml", []byte(without), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.on(one, "mailhactl config apply --yes /etc/mailha/mailha.toml")
	if out := c.fails(one, "mailhactl cluster remove-member node9 2>&1"); !strings.Contains(out, "node9") {
		t.Errorf("a node that nobody knows: %s", out)
	}
	c.on(one, "mailhactl cluster remove-member node3")
	if out := c.on(one, "mailhactl cluster members"); strings.Contains(out, "node3") || !strings.Contains(out, "node2") {
		t.Errorf("the members are %s", out)
	}
	// The two go on.
	await(t, time.Minute, "the group to run on node1", func() bool {
		out, err := one.Output(t.Context(), "ip", "addr", "show", "dev", "eth0")
		return err == nil && strings.Contains(out, "10.77.0.60/")
	})
	c.on(one, "mailhactl group move g node2")
	c.on(c.nodes[1], "ip addr show dev eth0 | grep -q 10.77.0.60/")
}
