// SPDX-License-Identifier: Apache-2.0

// Package metrics is what Prometheus is told by a node's daemon: how its resources are,
// which addresses it holds, how long takeovers and drains took, which nodes it hears, and
// whether the fence devices answer.
//
// It must never wait for etcd or for an agent, and never keep anybody who tells it
// something waiting.
package metrics
