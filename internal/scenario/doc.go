// SPDX-License-Identifier: Apache-2.0

// Package scenario sets up the main job on real software: a Pacemaker cluster
// of three nodes that runs Postfix behind a secondary address with its queue on
// a shared disk, a client that sends mail to it and a sink that takes what it
// delivers. On this stage it plays acts (a restart, a planned move, the loss of
// a node) and measures each as the client saw it.
//
// The demo and the benchmarks are two audiences of it. It must never judge a
// figure: it reports what was measured, and what was lost.
package scenario
