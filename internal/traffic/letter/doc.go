// SPDX-License-Identifier: Apache-2.0

// Package letter makes the messages that loads send: numbered, with a hash of
// their body, and made of what a careless relay would damage.
//
// It must never give the same id to two different bodies.
package letter
