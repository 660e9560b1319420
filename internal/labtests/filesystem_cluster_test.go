// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// Under Pacemaker a file system moves away from its users, is started again where
// somebody unmounted it, and outlives the death of its node.
func TestFilesystemInCluster(t *testing.T) {
	p := newDisk(t, lab.Config{Nodes: 3})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c, err := cluster.Form(ctx, p.Lab, cluster.Options{Totem: map[string]string{"token": "3000"}})
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := p.Node("node1"), p.Node("node2"), p.Node("node3")
	run(t, one, `crm configure primitive p_fs ocf:mailha:filesystem params device=`+lab.DiskPath+` directory=`+dataDir+` \
		op start timeout=90s interval=0 op stop timeout=60s interval=0 op monitor interval=1s timeout=20s \
		op monitor interval=2s timeout=30s OCF_CHECK_LEVEL=20
		crm configure location l_fs p_fs 50: node1`)
	at := func(n *lab.Node) {
		t.Helper()
		if err := c.WaitResource(ctx, "p_fs", n); err != nil {
			t.Fatal(err)
		}
		for _, other := range p.Nodes() {
			if other.Running() && isFree(t, other) == (other == n) {
				t.Errorf("in use on %s: %t", other.Name(), other == n)
			}
		}
	}
	at(one)
	run(t, one, "echo kept >"+dataDir+"/kept; sync -f "+dataDir+"; "+user("cd "+dataDir+"; touch /run/using; exec sleep 300"))
	run(t, one, "crm_resource --move --resource p_fs --node node2; crm_resource --wait")
	at(two)
	if got := run(t, two, "cat "+dataDir+"/kept"); got != "kept" {
		t.Errorf("the file holds %q", got)
	}
	run(t, two, "umount "+dataDir)
	await(t, 30*time.Second, "the file system to come back", func() bool {
		return strings.Contains(run(t, two, "cat /proc/self/mountinfo"), " "+dataDir+" ")
	})
	at(two)
	run(t, one, "crm_resource --clear --resource p_fs; crm configure delete l_fs; crm configure location l_fs p_fs 50: node3; crm_resource --wait")
	at(three)
	if err := three.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	var now *lab.Node
	await(t, time.Minute, "another node to have it", func() bool {
		for _, n := range []*lab.Node{one, two} {
			if strings.Contains(run(t, n, "cat /proc/self/mountinfo"), " "+dataDir+" ") {
				now = n
			}
		}
		return now != nil
	})
	if got := run(t, now, "cat "+dataDir+"/kept"); got != "kept" {
		t.Errorf("after the node's death the file holds %q", got)
	}
}
