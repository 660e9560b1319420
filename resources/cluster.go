// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"net/netip"
	"slices"
	"time"
)

// Cluster is one mailha.toml, checked, with every default filled in. It is not
// changed after Parse.
type Cluster struct {
	Name string
	// Lease is how long a node may hold groups without a confirmed renewal, from
	// 2s to 5m. Its holder stops earlier, by Margin.
	Lease time.Duration
	// Margin is what clocks and a release may cost: a holder lets go so long
	// before its lease ends, and a taker waits so long after. From 100ms to half
	// of the lease.
	Margin       time.Duration
	OnQuorumLoss QuorumLoss
	// MaxMoves in MovesWindow is how often a group may move before it stays
	// where it is; 0: as often as it likes.
	MaxMoves    int
	MovesWindow time.Duration
	// MaxFencings in FencingsWindow is how often a node may be fenced before it runs
	// nothing until an operator lets it; 0: as often as need be.
	MaxFencings    int
	FencingsWindow time.Duration
	TLSDir         string // certificates of the nodes, absolute
	Etcd           Etcd
	Heartbeat      Heartbeat
	Watchdog       Watchdog
	API            API
	Nodes          []Node  // in the file's order
	Groups         []Group // in the file's order: earlier ones choose their node first
	Fences         []Fence // in the file's order
	// Warnings is what can be run but should not stay so.
	Warnings Problems
}

// QuorumLoss is what a node does with its groups when no majority of the
// cluster's voters can be reached.
type QuorumLoss string

const (
	// Release lets everything go before the lease ends.
	Release QuorumLoss = "release"
	// HoldIfAllPeersAgree holds on as long as every other node confirms, each
	// within the lease, that it will take nothing.
	HoldIfAllPeersAgree QuorumLoss = "hold-if-all-peers-agree"
)

// Etcd is the store that all nodes agree in: embedded in mailhad, or the
// operator's own.
type Etcd struct {
	DataDir   string        // of the embedded one, absolute
	Heartbeat time.Duration // among its members, 10ms to 5s
	Election  time.Duration // without heartbeats before a new leader is elected, at least 5 heartbeats, up to 50s
	PeerPort  uint16        // for its members
	Port      uint16        // for its clients
	// Endpoints are the URLs of an etcd of the operator's; empty: embedded.
	Endpoints []string
	// Files of PEM for the endpoints; all three or none.
	CAFile, CertFile, KeyFile string
}

// External says whether the operator runs etcd.
func (e Etcd) External() bool { return len(e.Endpoints) > 0 }

// MaxNodes is how many nodes a cluster may have: a heartbeat tells of each of them, in
// one packet.
const MaxNodes = 40

// Heartbeat is how the nodes notice that one of them looks dead.
type Heartbeat struct {
	Interval time.Duration // between two of a node's, 10ms to 1s
	// Suspect is the least silence after which a node looks dead, three intervals or
	// more. Where packets come unsteadily it grows, up to SuspectMax, which is less than the lease.
	Suspect, SuspectMax time.Duration
	Port                uint16 // UDP
}

// API is where mailhad listens beside its unix socket.
type API struct {
	// Listen is an address with a port; invalid: the unix socket only.
	Listen netip.AddrPort
	// Files of PEM; all three are there if Listen is: clients show a certificate
	// that ClientCAFile has signed.
	CertFile, KeyFile, ClientCAFile string
	// Operators are the names (CN) of certificates that may change something; all
	// others only look.
	Operators []string
	// Metrics is where /metrics, and nothing else, is served in the clear;
	// invalid: nowhere.
	Metrics netip.AddrPort
}

// Node is a machine of the cluster.
type Node struct {
	Name string
	// Addresses reach it from the other nodes; the first is the one that etcd
	// uses.
	Addresses []netip.Addr
	// Witness votes and runs nothing.
	Witness bool
}

// first is the address that etcd uses; not valid: there is none.
func (n Node) first() netip.Addr {
	if len(n.Addresses) == 0 {
		return netip.Addr{}
	}
	return n.Addresses[0]
}

// Group is resources that live on the same node and move together.
type Group struct {
	Name string
	// Nodes are those that may run it, the preferred ones first. It is never
	// empty and has no witness.
	Nodes []Preference
	// Failback is when a group goes back to a node that it prefers.
	Failback Failback
	// Stickiness is how long that node must have been there without a break.
	Stickiness time.Duration
	// ApartFrom are groups that it should not share a node with; it holds both
	// ways, and Parse writes it into both.
	ApartFrom []string
	// Takeover is what proves that a node which vanished has let go of it.
	Takeover Takeover
	// HoldDown is how long it stays after a move before another one that nobody
	// asked for.
	HoldDown time.Duration
	// FailureWindow is how long a failure of a resource counts.
	FailureWindow time.Duration
	// Weight is its share of a node's load, 0 to 1000: among nodes that it
	// prefers alike, it goes to the one with the least.
	Weight int
	// Resources are in the order in which they start.
	Resources []Resource
}

// Preference is a node that may run a group. Nodes of the same rank are
// preferred alike; 0 is the best.
type Preference struct {
	Node string
	Rank int
}

// Node finds a node.
func (c *Cluster) Node(name string) (Node, bool) {
	return find(c.Nodes, func(n Node) bool { return n.Name == name })
}

// Group finds a group.
func (c *Cluster) Group(name string) (Group, bool) {
	return find(c.Groups, func(g Group) bool { return g.Name == name })
}

// Resource finds a resource, in whichever group it is.
func (c *Cluster) Resource(name string) (Resource, bool) {
	for _, g := range c.Groups {
		if r, ok := g.Resource(name); ok {
			return r, true
		}
	}
	return Resource{}, false
}

// Resource finds a resource of the group.
func (g Group) Resource(name string) (Resource, bool) {
	return find(g.Resources, func(r Resource) bool { return r.Name == name })
}

// Rank is how much the group prefers a node, 0 the most; false: it may not run
// there.
func (g Group) Rank(node string) (int, bool) {
	p, ok := find(g.Nodes, func(p Preference) bool { return p.Node == node })
	return p.Rank, ok
}

func find[T any](list []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}
