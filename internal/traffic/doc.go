// SPDX-License-Identifier: Apache-2.0

// Package traffic makes real mail flow through a clustered MTA and measures what a client outside the cluster sees,
// with proof of every single message.
//
// A load sends numbered, hashed messages and writes down what became of each attempt; a sink receives what the MTA
// delivers and writes down each arrival; the audit joins both ledgers, so that "no accepted message was lost" is a
// result and not a belief. A probe asks for echo replies and the greetings of four protocols many times a second and
// reports the longest time in which there were none.
//
// The packages below do the same for a store and a directory: imap reads what was delivered, in a sink's place, and
// stores messages; ldap writes entries and reads them; hold keeps sessions open and says how each ended.
//
// [Main] is the command "traffic", meant to run in a network namespace of its own outside the cluster; [StartSink],
// [StartLoad], [StartProbe] and their like in the packages below start it there and talk to it.
//
// This is a tool for tests, benchmarks and the demo. It must never know anything about the cluster that it measures,
// never be linked into a program that ships, and never send to an address that it was not told.
package traffic
