// SPDX-License-Identifier: Apache-2.0

// Package bench measures mailha's agents against the ones that most clusters
// run today, side by side in one run: what one call of each costs, and for how
// long a client is without service when a resource moves or a node dies.
//
// It must never judge: it reports medians and their ratio.
package bench
