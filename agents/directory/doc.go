// SPDX-License-Identifier: Apache-2.0

// Package directory is the agent for directories: LDAP servers that run on
// every node and follow each other's changes, of which clients write to one.
// The agent knows roles and lag; a backend, [OpenLDAP], knows one product.
//
// It must never change what a directory holds, apart from its own test entry,
// nor how a server is configured, apart from whether clients may write. It must
// never print or log a password.
package directory
