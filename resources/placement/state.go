// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"time"

	"github.com/mailha/mailha/resources"
)

// State is all that a plan depends on.
type State struct {
	// Now is the time, in the zone in which failback windows are meant.
	Now     time.Time
	Cluster *resources.Cluster
	// Nodes by name. One of the cluster that is not in it has never been seen.
	Nodes map[string]Node
	// Groups by name. One of the cluster that is not in it has never run.
	Groups map[string]Group
	// Maintenance of the whole cluster; nil: none.
	Maintenance *Order
	// Unheard are nodes that may still have anything, as nobody knows since the cluster
	// was restored. No group is started as long as there are any.
	Unheard []string
}

// Order is what an operator asked for.
type Order struct {
	By    string // who; for people
	Since time.Time
	Until time.Time // zero: until it is taken back
}

// Node is what is known about a node.
type Node struct {
	// Present says that it holds its lease.
	Present bool
	// Since is when it last became present, or was last seen.
	Since time.Time
	// Standby: it is to run nothing. Maintenance: what it runs is to be left
	// alone. Nil: neither.
	Standby, Maintenance *Order
}

// Group is what is known about a group.
type Group struct {
	// Owner is the node that has it and has not yet proved that it has stopped
	// it; empty in phase Free, and only there.
	Owner string
	Epoch int64
	Phase Phase
	Since time.Time // of the phase
	// FreeAt is for an owner that is not present: from when on nothing of the
	// group can run there any more, which is the end of its lease plus the margin,
	// or when it was fenced. Zero: not known, and nobody takes the group. In phase
	// Failed a lease proves nothing, and only fencing sets it.
	FreeAt time.Time
	// Last is the node that ran it before it was free; empty: none ever did.
	Last string
	// Failures, Moves: the recent ones, in any order. Older ones than the windows
	// of the cluster and the group may be left out. A start on another node than
	// Last is a move.
	Failures []Failure
	Moves    []Moved
	Bans     []Ban
	// Wish: be on one node. Stopped: run nowhere. Nil: none.
	Wish    *Wish
	Stopped *Order
}

// Phase is where a group is in its life on its owner.
type Phase string

const (
	// Free: nothing of it runs anywhere; whoever had it has proved that. It is
	// also the phase after a start that failed and was cleaned up.
	Free     Phase = "free"
	Starting Phase = "starting"
	Running  Phase = "running" // started, though single resources may be stopped or failed
	Stopping Phase = "stopping"
	// Failed: a stop could not prove that nothing is left. The group is its
	// owner's until a stop succeeds there or the node is fenced.
	Failed Phase = "failed"
)

// Failure is one failure of a resource.
type Failure struct {
	Node, Resource string
	When           time.Time
	// Fatal: another try there is no use, as with a start that failed or software
	// that is missing. It counts as if it had reached the threshold.
	Fatal bool
}

// Moved is one change of a group's node.
type Moved struct {
	From, To string
	When     time.Time
	Asked    bool // by an operator: it never counts against one
}

// Ban keeps a group from a node.
type Ban struct {
	Node string
	Order
}

// Wish is an operator's that a group be on a node. What failed there before it
// counts no more.
type Wish struct {
	Node string
	Order
}
