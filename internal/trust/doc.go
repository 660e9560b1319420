// SPDX-License-Identifier: Apache-2.0

// Package trust is how the nodes of a cluster know one another: the cluster's own
// certificate authority, the certificate of each node, and the tokens by which a
// new node is let in.
//
// It must never send or write a private key but the one case that its comments
// name (a joining node gets the authority), never put a secret into a message or
// a log, and never take a size or a field from the network that it does not know.
package trust
