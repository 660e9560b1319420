// SPDX-License-Identifier: Apache-2.0

// Package api is how people and programs talk to mailhad: HTTP with JSON, on a
// unix socket and, if the configuration asks for it, with client certificates on
// an address. It has what goes over the wire, the [Server] and the [Client].
//
// Whatever changes something is written down in the cluster's state as a wish or
// as its configuration, with who asked for it; the control loops of the nodes act
// on that. So every node's API can show and take everything.
//
// It must never act on a resource itself, decide where a group runs, or believe
// what a request says of its sender.
package api
