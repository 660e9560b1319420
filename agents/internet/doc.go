// SPDX-License-Identifier: Apache-2.0

// Package internet is the agent for a mail system's front door: SMTP,
// submission, IMAP, POP3 and LDAP in any combination behind one set of
// secondary addresses, as one resource.
//
// Each kind of daemon behind the addresses is a part with a lifecycle of its
// own, so that one that is faulty is closed, drained and repaired by itself
// while the others serve. It must never touch a part because of another one,
// and never let mail out from an address that is not the front door's.
package internet
