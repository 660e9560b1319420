// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the proof of what became of every message: a load writes
// down what each attempt came to, a sink what arrived, and the audit joins both,
// so that "nothing that was accepted is lost" is a result and not a belief.
//
// It must never lose a record that was written: each is in the file before
// anybody acts on it.
package ledger
