// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// leadership is a member of etcd, as what keeps its leadership away from services needs
// it; a quorum.Member is one.
type leadership interface {
	Leads() bool
	Voters() []string
	Yield(ctx context.Context, to string) error
}

// successor is who should lead etcd in this node's place: a witness, else a node that
// owns nothing; empty: this one may stay, or there is nobody better. A node that is lost
// together with etcd's leadership is missed later: the lease begins anew under the next
// leader (etcd's lessor extends all of them when it is promoted).
func successor(self string, s state.Snapshot, c *resources.Cluster, voters []string) string {
	busy := map[string]bool{}
	for _, g := range s.Groups {
		if g.Owner != "" {
			busy[g.Owner] = true
		}
	}
	if s.Stale != nil || !busy[self] {
		return ""
	}
	best := ""
	for _, n := range c.Nodes {
		if _, present := s.Nodes[n.Name]; !present || busy[n.Name] || !slices.Contains(voters, n.Name) {
			continue
		}
		if n.Witness {
			return n.Name
		}
		if best == "" {
			best = n.Name
		}
	}
	return best
}

// yield keeps etcd's leadership away from services, until ctx ends. It waits until no
// group has changed for a while, as writes stand still for a moment, and no node may be
// about to be missed: its lease, too, would begin anew.
func yield(ctx context.Context, self string, m leadership, snapshot func() state.Snapshot, cluster func() *resources.Cluster, hearts func() heartbeat.View, log *slog.Logger) {
	const (
		look  = 3 * time.Second
		again = 10 // looks, after a try
		most  = 5 * time.Second
	)
	tick := time.NewTicker(look)
	defer tick.Stop()
	var before map[string]int64
	for rest := 0; ; rest = max(rest-1, 0) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := snapshot()
		now := revisions(s)
		quiet := maps.Equal(now, before)
		before = now
		to := successor(self, s, cluster(), m.Voters())
		if to == "" || !m.Leads() || !quiet || rest > 0 || suspects(hearts()) {
			continue
		}
		rest = again
		ctx, cancel := context.WithTimeout(ctx, most)
		if err := m.Yield(ctx, to); err != nil {
			log.Info("etcd is still led from a node that has services", "error", err)
		} else {
			log.Info("etcd is led by another node now, as this one has services", "leader", to)
		}
		cancel()
	}
}

// suspects says whether a node looks dead.
func suspects(v heartbeat.View) bool {
	return slices.ContainsFunc(v.Nodes, func(n heartbeat.Sight) bool { return n.State == heartbeat.Suspect })
}

// revisions are when each group was written last.
func revisions(s state.Snapshot) map[string]int64 {
	revs := map[string]int64{}
	for name, g := range s.Groups {
		revs[name] = g.Rev
	}
	return revs
}
