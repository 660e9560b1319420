// SPDX-License-Identifier: Apache-2.0

// Package agents is the contract between whoever runs resources (Pacemaker
// over OCF, mailhad) and the code that drives one kind of resource. It holds
// the parameter tables, which are the single source for parsing, validation,
// metadata and manual pages, and the one lifecycle that all service agents
// share; a kind of service only fills in its own [Steps].
//
// It must never import anything under internal, never decide where a resource
// runs, and never report a resource as stopped without having proved it.
package agents
