// SPDX-License-Identifier: Apache-2.0

// Package imap has clients of IMAP (RFC 9051) that prove what a store keeps: a
// reader that writes down every message it finds, as the sink behind an MTA
// does, and an appender that stores messages and writes down which of them the
// store took.
//
// It must never change a mailbox but by what the appender stores there.
package imap
