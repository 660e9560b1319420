// SPDX-License-Identifier: Apache-2.0

// Package poison has a node switch itself off because another one asks for it, in a
// cluster without power switches: the question is a record in etcd, the poison pill, and
// what makes the answer certain is the node's watchdog.
//
// A node that can be asked keeps a slot ([Slot]), and its watchdog is fed only because of
// looks at etcd that found no pill ([Target]). Who writes a pill ([Store.Send]) therefore
// knows that the node is off when its last word is there, when it has come up with another
// boot, or when as much time has passed as its slot says: a look that began after the pill
// was written would have seen it, and none that began before keeps the node alive so long.
// sbd(8) does the same with a shared disk.
//
// It must never say that a node is off sooner than that, and never take the silence of a
// node that keeps no slot for an answer.
package poison
