// SPDX-License-Identifier: Apache-2.0

// Package manual turns the tables of an agent into its manual page, written in
// the language mdoc(7).
//
// It must never say anything about a parameter, an action or an exit code that
// it did not read from the agent's type or from package ocf, and never run an
// agent.
package manual
