// SPDX-License-Identifier: Apache-2.0

// Package ldap has clients of LDAP (RFC 4511) that prove what a directory
// keeps: a writer that adds and modifies numbered entries and writes down what
// the directory took, and a reader that writes down what it finds.
//
// It must never touch an entry that is not its run's.
package ldap
