// SPDX-License-Identifier: Apache-2.0

package placement

import "time"

// Plan is what to do, one decision for each group of the cluster and for each
// that the cluster no longer has and somebody still owns. What ends an outage
// comes first, then what else is to be done, then what waits, then what stays;
// among equals the file's order holds.
type Plan struct {
	Decisions []Decision
	// Again is when to plan again though nothing has happened; zero: never.
	Again time.Time
}

// Decision is what to do about a group.
type Decision struct {
	Group  string
	Action Action
	// Node is where the group is to be: with Wait where it would be as things
	// are; empty where it is to be nowhere, or that is not known.
	Node string
	// From is the owner, if there is one: it has to stop the group first (Move,
	// Stop), or its rights have ended (Take).
	From string
	// NotBefore is, with Wait and Keep, from when on it may be otherwise though
	// nothing happens; zero: nobody knows, or never.
	NotBefore time.Time
	// Abandon are resources that are not to run on Node, for they have failed too
	// often there, or come after one that has, while no better node is left for
	// the group. The others are to run.
	Abandon []string
	// Asked: an operator's doing, which never counts against a group that moves.
	Asked bool
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
