// SPDX-License-Identifier: Apache-2.0

// Package placement decides which node runs which group. It is a function: the
// state of the cluster goes in, a plan with a reason for each decision comes
// out, the same one on every node.
//
// It must never read a clock, remember anything or do what it has decided. All
// of a plan is carried out by those who wrote it down first, with
// compare-and-swap; a plan by itself gives nobody a right to act.
package placement
