// SPDX-License-Identifier: Apache-2.0

// Package filesystem is the agent that mounts the file system of a block device on a
// directory, on one node at a time, and that gives the device up with proof: a stop
// has succeeded only when the kernel lets the device be opened exclusively, which it
// does not as long as the file system is mounted anywhere on the node.
//
// It must never say that a device is free because no list of mounts shows it, and
// never wait in the kernel by itself: what may block there without an end is done by
// a process of its own.
package filesystem
