// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"net/netip"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// moved lists the groups that have begun anew since they were seen last, and keeps what
// it has seen in epochs. Whoever was connected to a former life of theirs has nobody there
// any more, whether it has heard so or not.
func moved(epochs map[string]uint64, groups map[string]state.Group) []string {
	var all []string
	for name, g := range groups {
		last, known := epochs[name]
		if known && g.Epoch > last {
			all = append(all, name)
		}
		if !known || g.Epoch > last {
			epochs[name] = g.Epoch
		}
	}
	return all
}

// addressesOf are those of groups, as the configuration has them.
func addressesOf(c *resources.Cluster, kinds resources.Kinds, groups []string) []netip.Addr {
	var all []netip.Addr
	for _, name := range groups {
		g, _ := c.Group(name)
		for _, r := range g.Resources {
			if k, ok := kinds.Kind(r.Kind); ok {
				all = append(all, k.Addresses(r.Params)...)
			}
		}
	}
	return all
}

// forsake ends what this node's services still hope to hear from groups that have moved:
// the MTA here from the store that was on a node which lost its power, for one.
func (e *Engine) forsake(ctx context.Context, s state.Snapshot) {
	if e.Forsake == nil || s.Stale != nil {
		return
	}
	groups := moved(e.epochs, s.Groups)
	addrs := addressesOf(e.Cluster(), e.kinds, groups)
	if len(addrs) == 0 {
		return
	}
	// At once, before the new owner has them up: what connects then is meant for it.
	go func() {
		const patience = time.Second
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		n, err := e.Forsake(ctx, addrs)
		if err != nil {
			e.Log.Warn("connections to a service that has moved may hang", "groups", groups, "error", err)
		}
		if n > 0 {
			e.Log.Info("ended connections to a service that has moved", "groups", groups, "count", n)
		}
	}()
}
