// SPDX-License-Identifier: Apache-2.0

// Package judge watches a lab's nodes from outside and says whether anything that may
// be on one node at a time was on two: addresses, by who answers for them on the wire;
// mounted disks and running services, by what the host's kernel has of the nodes'
// processes.
//
// It must never ask a node, whose answer may be what is wrong, and never call a thing
// single that it has not looked at: looks that it missed are counted.
package judge
