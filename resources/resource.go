// SPDX-License-Identifier: Apache-2.0

package resources

import "time"

// Resource is one thing that an agent drives on one node at a time.
type Resource struct {
	Name  string
	Kind  string
	Group string
	// After are resources of the same group that it is started after and stopped
	// before.
	After     []string
	OnFailure OnFailure
	// Threshold is how many failures on one node, within the group's failure
	// window, are met with a restart on the spot; the one that reaches it moves
	// the group. At least 1. Only for OnFailure Restart.
	Threshold int
	Standby   Standby
	// StartTimeout and the others bound one call of the agent.
	StartTimeout, StopTimeout time.Duration
	// Monitors recur while it runs, the shallowest first.
	Monitors []Monitor
	// Params are the agent's, as in OCF_RESKEY_*; those that the file does not
	// have are not there.
	Params map[string]string
}

// Monitor is one recurring check.
type Monitor struct {
	Depth    int // 0, 10 or 20: the OCF_CHECK_LEVEL
	Interval time.Duration
	Timeout  time.Duration
}

// OnFailure is what is done about a resource that fails.
type OnFailure string

const (
	OnFailureRestart OnFailure = "restart" // restart it on the spot up to its threshold, then move the group
	OnFailureMove    OnFailure = "move"    // move the group at once
	OnFailureStop    OnFailure = "stop"    // stop it and leave the group where it is
	OnFailureIgnore  OnFailure = "ignore"  // say so and do nothing
)

// Standby is what the nodes that do not own the group do with a resource.
type Standby string

const (
	Cold Standby = "cold" // nothing runs there
	Warm Standby = "warm" // it runs everywhere already, and a takeover only moves the addresses
)
