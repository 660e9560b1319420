// SPDX-License-Identifier: Apache-2.0

// Package console is mailhactl: what it asks of mailhad, waits for, and prints.
//
// It must never know more of the cluster than the API tells, and never decide for
// the operator: what cannot be undone is asked about first.
package console
