// SPDX-License-Identifier: Apache-2.0

// Package quorum is this node's member of etcd, and the way to ask the cluster
// that it belongs to: start, join, watch its health, snapshot, restore. An etcd
// that somebody else runs is reached by the same client.
//
// It must never make a cluster of its own accord: an empty data directory is
// told, with what to do, because a cluster made beside another one is two
// owners of everything. It must never end the program either, whatever etcd
// itself does when its disk fails.
package quorum
