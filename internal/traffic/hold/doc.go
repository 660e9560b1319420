// SPDX-License-Identifier: Apache-2.0

// Package hold keeps sessions of several protocols open, busy and idle ones,
// and says of each how it ended: by a word of the server, or cut.
//
// It must never open a session anew: what a move did to the sessions is what it
// is there to see.
package hold
