// SPDX-License-Identifier: Apache-2.0

// Package failover is the control loop of a node: it holds the node's lease, carries
// out its part of the plan, and runs the resources of the groups that it owns, each by
// its agent.
//
// It must never start what it does not own under a valid lease, never give up a group
// before its agents have proved that nothing of it is left, and never wait for etcd
// before it lets go: addresses go first, by the kernel alone.
package failover
