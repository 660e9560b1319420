// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/state"
)

// A lease that is revoked before its time ends for its holder as soon as others can see
// it, not at its next renewal.
func revoked(c *cluster) {
	c.until("mail runs", func(s state.Snapshot) bool { return s.Groups["mail"].Phase == state.Running && len(s.Nodes) == 3 })
	c.set("*/mta/stop", fault{last: 100 * time.Millisecond}) // or nothing may be left to let go
	client := dial(c.t, c.etcd)
	defer client.Close()
	for range 3 { // somewhere between two renewals
		now := c.snapshot()
		owner := now.Groups["mail"].Owner
		lease := now.Nodes[owner].Session
		began := time.Now()
		if _, err := client.Revoke(c.t.Context(), clientv3.LeaseID(lease)); err != nil {
			c.t.Fatal(err)
		}
		var seen time.Time // when others could see it
		c.until(owner+" lets go", func(s state.Snapshot) bool {
			if seen.IsZero() && s.Nodes[owner].Session != lease {
				seen = time.Now()
			}
			return c.dropped(owner, began)
		})
		if took := time.Since(seen); !seen.IsZero() && took > margin {
			c.t.Errorf("%s let go %s after others could see its lease revoked, and they wait for %s", owner, took, margin)
		}
		c.until("mail runs", func(s state.Snapshot) bool {
			g := s.Groups["mail"]
			return g.Epoch > now.Groups["mail"].Epoch && g.Phase == state.Running && s.Nodes[owner].Session != lease && len(s.Nodes) == 3
		})
	}
}
