// SPDX-License-Identifier: Apache-2.0

// Package fencing makes sure that a lost node is off, by devices that are not in it:
// power switches, management boards, hypervisors. It runs the agents of the fence-agents
// project (FenceAgentAPI.md of ClusterLabs/fence-agents) and believes none of them: a
// node is off when the device was told so, says so when it is asked for the status, and
// nothing is heard of the node any more.
//
// It must never call a node off that may run: whatever is late, unclear or cut short is a
// failure. It never decides who is to be fenced; that is for whoever calls it.
package fencing
