// SPDX-License-Identifier: Apache-2.0

// Package walls is the rules about the source tree that a compiler does not
// hold, each as a test: which way imports run, what the agents' program may
// link, what a package says of itself, what a parameter table has to have.
//
// It must never hold code that anything else uses, and never a rule that can be
// read two ways: a test that fails says what to change.
package walls
