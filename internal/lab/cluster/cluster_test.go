// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
	"github.com/mailha/mailha/internal/lab/labtest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 3})
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	start := time.Now()
	c, err := cluster.Form(ctx, l, cluster.Options{
		Totem:      map[string]string{"token": "3000"}, // to find a lost node in less than the usual 8 s
		Properties: map[string]string{"cluster-recheck-interval": "77s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("formed in %.1f s", time.Since(start).Seconds())
	if out, err := c.Output(ctx, "crm_attribute", "--query", "--quiet", "--name", "cluster-recheck-interval"); err != nil || out != "77s" {
		t.Errorf("property: got %q, %v", out, err)
	}

	if err := c.Crm(ctx, "primitive p ocf:pacemaker:nonesuch"); err == nil {
		t.Error("an agent that does not exist: no error")
	}
	if err := c.Crm(ctx, "nonsense"); err == nil {
		t.Error("a command that does not exist: no error")
	}
	if err := c.Crm(ctx, "clone everywhere [p3]"); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("a clone of nothing: got %v, want an error without colours", err)
	}
	err = c.Crm(ctx, `delete p
		primitive p1 ocf:pacemaker:Dummy op monitor interval=10s
		primitive p2 ocf:pacemaker:Dummy
		group g p1 p2
		location l1 g 100: node2`)
	if err != nil {
		t.Fatal(err)
	}
	holder := l.Node("node2")
	if err := c.WaitResource(ctx, "p2", holder); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitIdle(ctx); err != nil {
		t.Fatal(err)
	}

	if err := c.Crm(ctx, "delete l1"); err != nil {
		t.Fatal(err)
	}
	if err := holder.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	if err := c.WaitResource(short, "p2", l.Node("node1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain: got %v", err)
	}
	moved := func(s *cluster.Status) bool {
		for _, g := range s.Groups {
			for _, r := range g.Resources {
				if r.ID == "p2" && r.Role == "Started" && r.Nodes[0].Name != holder.Name() {
					return true
				}
			}
		}
		return false
	}
	if err := c.Wait(ctx, "p2 to move", moved); err != nil {
		t.Fatal(err)
	}
	history, err := l.FenceHistory()
	if err != nil || len(history) == 0 || history[0].Node != holder.Name() || history[0].Err != "" {
		t.Errorf("fencing: got %+v, %v", history, err)
	}
	if err := c.Rejoin(ctx, holder); err != nil {
		t.Fatal(err)
	}
	s, err := c.Via(holder).Status(ctx)
	if err != nil || !s.DC.Quorum || len(s.Nodes) != 3 {
		t.Errorf("after rejoining: %+v, %v", s, err)
	}
}

func TestTwoNodesWithoutFencing(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c, err := cluster.Form(ctx, l, cluster.Options{NoFencing: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Output(ctx, "corosync-quorumtool", "-s")
	if err == nil && !strings.Contains(out, "2Node") || err != nil && !strings.Contains(err.Error(), "2Node") {
		t.Errorf("not in two-node mode: %q, %v", out, err)
	}
	if s, err := c.Status(ctx); err != nil || len(s.Resources) != 0 {
		t.Errorf("got %+v, %v; want no resource", s, err)
	}
}
