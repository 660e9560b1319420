// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
)

// Node is a node of the cluster as it is configured, with what its daemon has
// published of itself.
type Node struct {
	Name string
	// Addresses are those of the configuration. Two nodes have a path from the first
	// IPv4 address of the one to the first of the other, the second to the second, and
	// so on, and likewise for IPv6.
	Addresses []netip.Addr
	// Life names the stay of its daemon in the cluster, and no other stay of any node; 0:
	// it is not there.
	Life uint64
	// Key is what its packets are signed with; of this node it is ignored.
	Key ed25519.PublicKey
}

func (n Node) same(o Node) bool { return n.Name == o.Name && n.Life == o.Life && n.Key.Equal(o.Key) }

// ends are a path: an address of this node and one of a peer.
type ends struct{ local, remote netip.Addr }

// pair makes the paths between two nodes.
func pair(own, other []netip.Addr) []ends {
	var all []ends
	for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		not := func(a netip.Addr) bool { return !is(a) }
		mine := slices.DeleteFunc(slices.Clone(own), not)
		theirs := slices.DeleteFunc(slices.Clone(other), not)
		for i := range min(len(mine), len(theirs)) {
			all = append(all, ends{mine[i], theirs[i]})
		}
	}
	return all
}
