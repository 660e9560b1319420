// SPDX-License-Identifier: Apache-2.0

package placement

import "time"

// Plan is what to do, one decision for each group of the cluster, in the order
// in which to do it: what runs or can run at once before what waits.
type Plan struct {
	Decisions []Decision
	// Again is when to plan again though nothing has happened; zero: never.
	Again time.Time
}

// Decision is what to do about a group.
type Decision struct {
	Group  string
	Action Action
	// Node is where the group is to be; empty where it is to be nowhere, or where
	// is not known yet.
	Node string
	// From is the owner that has to stop it first (Move, Stop), or whose rights
	// have ended (Take).
	From string
	// NotBefore is, with Wait, the time from which on it may be otherwise; zero:
	// it needs an event.
	NotBefore time.Time
	// Abandon are resources that have failed so often on Node that they are not
	// started again there, while no other node is left for the group.
	Abandon []string
	// Reason is for people: one sentence.
	Reason string
}

// Action is what a decision asks for.
type Action string

const (
	Keep  Action = "keep"  // leave it where it is; its owner goes on with it
	Start Action = "start" // on Node; nobody has it
	Take  Action = "take"  // on Node, from an owner that is gone
	Move  Action = "move"  // From stops it, or hands it over, and then Node starts it
	Stop  Action = "stop"  // From stops it, and nobody starts it for now
	Wait  Action = "wait"  // nothing can be done about it now
)
