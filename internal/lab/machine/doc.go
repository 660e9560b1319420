// SPDX-License-Identifier: Apache-2.0

// Package machine boots a lab's node as a virtual machine, in QEMU without
// KVM: such a node has a kernel, a clock and a watchdog of its own, which a
// container has not.
//
// Its root is a directory of the host, by 9p. Outside of the node's own network it has
// one wire more, which nothing in it sees: a network namespace with no other process
// than the one that runs commands for the host.
//
// It must never touch the host's network, and never be asked for what a container can
// do: emulation costs ten times the processor.
package machine
