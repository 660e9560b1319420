// SPDX-License-Identifier: Apache-2.0

// Package heartbeat says which nodes look dead: each node sends small signed
// packets to every other one over every network that they share, says in them whom
// it hears itself, and a node that a majority no longer hears is condemned. The same
// packets carry promises to take nothing of a node that has lost its majority
// (HeldUntil, PromisedUntil).
//
// It must never decide, fence or own anything: what looks dead may be alive. It is
// believed only after it has been fenced, or its lease and margin are over. And it
// must never compare the clock of one machine with another's.
package heartbeat
