// SPDX-License-Identifier: Apache-2.0

// Package metrics is what Prometheus is told by a node's daemon: how its resources are,
// which addresses it holds, and how long takeovers and drains took.
//
// It must never wait for etcd or for an agent, and never keep anybody who tells it
// something waiting.
package metrics
