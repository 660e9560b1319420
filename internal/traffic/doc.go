// SPDX-License-Identifier: Apache-2.0

// Package traffic makes real mail flow through a clustered MTA and measures what a client outside the cluster sees,
// with proof of every single message.
//
// A load sends numbered, hashed messages and writes down what became of each attempt; a sink receives what the MTA
// delivers and writes down each arrival; the audit joins both ledgers, so that "no accepted message was lost" is a
// result and not a belief. A probe asks for echo replies and SMTP greetings many times a second and reports the longest
// time in which there were none.
//
// [Main] is the command "traffic", meant to run in a network namespace of its own outside the cluster; [StartSink],
// [StartLoad] and [StartProbe] start it there and talk to it.
//
// This is a tool for tests, benchmarks and the demo. It must never know anything about the cluster that it measures,
// never be linked into a program that ships, and never send to an address that it was not told.
package traffic
