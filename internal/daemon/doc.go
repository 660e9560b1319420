// SPDX-License-Identifier: Apache-2.0

// Package daemon is mailhad as a program: it reads the file, starts this node's member
// of etcd, the control loop and the API, tells systemd how it fares, and ends all of it
// in order.
//
// It must never decide anything about groups: that is the loop's.
package daemon
