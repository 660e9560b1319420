// SPDX-License-Identifier: Apache-2.0

// Package ocf speaks the Open Cluster Framework's resource agent API 1.1:
// actions, environment, exit codes, metadata. It turns one call of a cluster
// manager into one method call on an [agents.Agent], and its error into an exit
// code, in one place.
//
// It must never print anything on standard output but the metadata and the
// help for a person, and never exit with a code that bans the node or stops
// the cluster unless the agent said that this is so.
package ocf
