// SPDX-License-Identifier: Apache-2.0

// Package labtests runs the installed agents against real software: Postfix,
// Postgrey, systemd, Linux's network, on the nodes of a lab, called as a cluster
// manager calls them. What an agent says of itself is compared with what is seen
// from outside: the node's processes, sockets, addresses and packet filter, and
// the mail that a client sent and a sink received.
//
// It holds tests only. They must never ask the agents' own code what is left on
// a node, and never skip: where a node can't be made, they fail and say why.
package labtests
