// SPDX-License-Identifier: Apache-2.0

// Package pacemaker says in the words of crmsh or pcs what has Pacemaker run the
// same mailha.toml: resources, where they go, in which order, and how often they
// are looked at.
//
// It is a function of the file alone. It must never ask a cluster, and never leave
// out silently what Pacemaker has no counterpart of: a comment says so.
package pacemaker
