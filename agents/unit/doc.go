// SPDX-License-Identifier: Apache-2.0

// Package unit starts, stops, restarts, kills and watches one systemd unit over
// D-Bus, and says what really happened to it.
//
// A request is not done when systemd has taken it, nor when its job is done, but
// when the unit has been seen in the state that was wanted. What can't be learnt
// is [Unknown] or [ErrUnknown]; it is never guessed from a lost connection.
//
// The package must never act on a unit by itself (no second start of one that
// failed, no kill after a slow stop): when to try again and when to use force is up
// to the caller, who knows the deadline.
package unit
