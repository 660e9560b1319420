// SPDX-License-Identifier: Apache-2.0

// Package ldap is a small client of LDAP (RFC 4511): one operation at a time
// over ldap, ldaps and ldapi, as much of it as health checks and the control of
// a server on the same host need.
//
// It must never log what it sends, for passwords are among it, and never trust
// the length or the shape of what a server answers.
package ldap
