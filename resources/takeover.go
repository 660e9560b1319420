// SPDX-License-Identifier: Apache-2.0

package resources

// Takeover is what has to be known of a node that vanished before another one takes a
// group of its over.
type Takeover string

// What is enough.
const (
	// TakeoverLease is that its lease has ended: the node lets go by then, if it has
	// its wits about it.
	TakeoverLease Takeover = "lease"
	// TakeoverFenced is that it is off for certain, as an operator says, or that it
	// came back and said itself that nothing of the group is left.
	TakeoverFenced Takeover = "fenced"
)
