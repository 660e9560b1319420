// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// promotedOn returns the one node that has the directory promoted, as the cluster
// says, or nil.
func promotedOn(t testing.TB, c *cluster.Cluster, nodes []*lab.Node) *lab.Node {
	t.Helper()
	status, err := c.Status(t.Context())
	if err != nil {
		return nil // while the cluster has no controller
	}
	var found *lab.Node
	for _, clone := range status.Clones {
		for _, r := range clone.Resources {
			for _, n := range nodes {
				if r.Role == "Promoted" && len(r.Nodes) == 1 && r.Nodes[0].Name == n.Name() {
					if found != nil {
						t.Errorf("promoted on %s and %s", found.Name(), n.Name())
					}
					found = n
				}
			}
		}
	}
	return found
}

// awaitPromoted waits until one of the nodes has it.
func awaitPromoted(t testing.TB, c *cluster.Cluster, among ...*lab.Node) *lab.Node {
	t.Helper()
	var found *lab.Node
	await(t, 90*time.Second, "the directory to be promoted", func() bool {
		found = promotedOn(t, c, among)
		return found != nil
	})
	return found
}

func others(nodes []*lab.Node, not *lab.Node) []*lab.Node {
	var rest []*lab.Node
	for _, n := range nodes {
		if n != not {
			rest = append(rest, n)
		}
	}
	return rest
}

// Under Pacemaker the promoted role moves without loss. The sudden death of its
// node costs what no other replica had at that moment, which is measured here and
// comes back with the node.
func testDirectoryInCluster(t *testing.T) {
	p := replicasOf(t, 3)
	nodes := p.Nodes()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c, err := cluster.Form(ctx, p.Lab, cluster.Options{Totem: map[string]string{"token": "3000"}})
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("../../contrib/pacemaker/directory.crm")
	if err != nil {
		t.Fatal(err)
	}
	ours := strings.NewReplacer("/etc/ldap/slapd.d", ldapConfig, "192.0.2.38", vip4, "2001:db8::38", vip6, "interval=30s", "interval=3s", "interval=29s", "interval=4s")
	if err := c.Crm(ctx, ours.Replace(string(config))); err != nil {
		t.Fatal(err)
	}
	first := awaitPromoted(t, c, nodes...)
	if err := c.WaitIdle(ctx); err != nil {
		t.Fatal(err)
	}
	attributes, err := c.Output(ctx, "crm_mon", "--one-shot", "--show-node-attributes")
	if err != nil || strings.Count(attributes, "master-p_directory") != 3 {
		t.Errorf("not every node has a promotion score: %v\n%s", err, attributes)
	}

	w := p.startWriters("cluster", 200)
	w.taken(200)
	target := others(nodes, first)[0]
	for _, argv := range [][]string{
		{"crm_resource", "--move", "--resource", "c_directory", "--promoted", "--node", target.Name()},
		{"crm_resource", "--wait", "--timeout=60"},
		{"crm_resource", "--clear", "--resource", "c_directory"},
	} {
		if _, err := c.Output(ctx, argv...); err != nil {
			t.Fatal(err)
		}
	}
	if got := awaitPromoted(t, c, nodes...); got != target {
		t.Errorf("promoted on %s, want %s", got.Name(), target.Name())
	}
	w.taken(200)
	// A node that is to do nothing any more gives the role up as well.
	if _, err := c.Output(ctx, "crm_standby", "--node", target.Name(), "--update", "on"); err != nil {
		t.Fatal(err)
	}
	second := awaitPromoted(t, c, others(nodes, target)...)
	w.taken(200)
	if _, err := c.Output(ctx, "crm_standby", "--node", target.Name(), "--delete"); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitIdle(ctx); err != nil {
		t.Fatal(err)
	}
	counts := w.stop()
	t.Logf("moves: %+v", counts)
	for _, n := range nodes {
		await(t, time.Minute, "replicas to be alike", func() bool { return w.audit(n).Lost == 0 })
	}

	// The death of the node that acknowledges writes.
	w = p.startWriters("kill", 400)
	w.taken(400)
	if err := second.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	survivors := others(nodes, second)
	had := max(changesOf(t, survivors[0], second), changesOf(t, survivors[1], second))
	third := awaitPromoted(t, c.Via(survivors[0]), survivors...)
	w.taken(200)
	t.Logf("promoted again on %s, writes again after %s", third.Name(), time.Since(killed).Round(time.Millisecond))
	w.stop()
	if got := changesOf(t, third, second); got < had {
		t.Errorf("the better one of the survivors had changes up to %s, the one that was promoted has them up to %s", had, got)
	}
	await(t, time.Minute, "the survivors to be alike", func() bool { return w.audit(survivors[0]).Lost == w.audit(survivors[1]).Lost })
	res := w.audit(third)
	t.Logf("acknowledged %d, of which the survivors lack %d", res.Accepted, res.Lost)
	if res.Lost > 0 {
		const csn = "20060102150405.000000Z"
		until, err := time.Parse(csn, had[:len(csn)])
		if err != nil {
			t.Fatal(err)
		}
		early := w.acknowledged(res.LostIDs)
		t.Logf("the first of these was acknowledged %s before the end", killed.Sub(early))
		if early.Before(until) {
			t.Errorf("lost although a survivor had all up to %s: %+v", until, res)
		}
	}

	// Its disk is whole: when it comes back, so does what it alone had.
	if err := c.Rejoin(ctx, second); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, second.Name()+" to have a replica again", func() bool { return answers(t, second) })
	for _, n := range nodes {
		await(t, time.Minute, "all to be there again on "+n.Name(), func() bool { return w.audit(n).Lost == 0 })
	}
}

// changesOf is the last change of one node's server that another node has.
func changesOf(t testing.TB, n, of *lab.Node) string {
	t.Helper()
	return run(t, n, "ldapsearch -LLL -Q -Y EXTERNAL -H "+ldapSocket+" -s base -b "+ldapSuffix+" contextCSN | sed -n 's/^contextCSN: \\(.*#00"+strings.TrimPrefix(of.Name(), "node")+"#.*\\)/\\1/p'")
}

// answers says whether the node's own replica can be asked.
func answers(t testing.TB, n *lab.Node) bool {
	t.Helper()
	return run(t, n, "ldapsearch -LLL -x -H ldap://127.0.0.1 -D "+writerDN+" -w '"+writerPassword+"' -s base -b "+ldapBase+" 1.1 >/dev/null 2>&1 && echo yes || true") == "yes"
}
