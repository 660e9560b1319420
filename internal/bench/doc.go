// SPDX-License-Identifier: Apache-2.0

// Package bench measures mailha's agents against the ones that most clusters
// run today, side by side in one run: what one call of each costs, for how long
// a client is without service when a resource moves or a node dies, and which
// monitor notices what of faults that are planted on running services.
//
// It must never judge: it reports medians and their ratio, and what was said.
package bench
