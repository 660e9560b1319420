// SPDX-License-Identifier: Apache-2.0

// Package resources is what the operator declares in mailha.toml: the cluster,
// its nodes, the groups and their resources. It reads the text, checks all of
// it, and says what a changed text would change.
//
// It must never open a file, ask the system or know an agent: bytes and the
// table of kinds come from the caller, so that a file can be checked anywhere.
package resources
