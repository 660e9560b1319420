// SPDX-License-Identifier: Apache-2.0

// Package state is what the nodes of a cluster know together, kept in etcd below
// /mailha/CLUSTER/: the configuration, which nodes are present, who owns which
// group under which epoch, what operators wish, what happened.
//
// A [Store] reads and follows it. A [Session] is a node's presence: a lease, the
// record that lives as long as the lease does, and the only way to own a group.
//
// It must never decide anything: it says what is, and refuses what was decided
// on an older state (compare-and-swap on revisions). It must never let a node
// write as an owner without its presence being there in the same transaction.
package state
