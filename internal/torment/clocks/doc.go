// SPDX-License-Identifier: Apache-2.0

// Package clocks sets one node's clock, which people read, forward and back by an hour,
// and looks what a cluster of mailhad makes of it: nothing at all is right.
//
// The nodes of other torments are containers, which share the host's clock. Here the
// first of three is a virtual machine. Of that one the host's kernel knows nothing but
// what it sends, so that somebody inside looks what it has, beside mailhad and by another
// wire, and tells the judge when that was by a clock of its own, which is matched to the
// host's. What the machine itself answers may be as old as its looks may be apart.
//
// It must never be silent about looks that somebody has missed.
package clocks
