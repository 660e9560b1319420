// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// What goes over the wire. Names of fields stay; new ones may come.

// Health is how the cluster is.
type Health string

// From good to bad. What is only of note leaves it at OK.
const (
	OK      Health = "ok"
	Warning Health = "warning"
	Error   Health = "error"
)

// Status is the cluster as one node sees it.
type Status struct {
	Cluster     string    `json:"cluster"` // empty: there is no configuration yet
	Node        string    `json:"node"`    // that tells it
	Revision    int64     `json:"revision"`
	At          time.Time `json:"at"`
	Stale       bool      `json:"stale"` // what follows may be old
	Health      Health    `json:"health"`
	Problems    []Problem `json:"problems"` // the worst first
	Nodes       []Node    `json:"nodes"`    // in the file's order
	Groups      []Group   `json:"groups"`   // in the file's order
	Wishes      []Wish    `json:"wishes"`   // that are not over
	Maintenance *Wish     `json:"maintenance,omitempty"`
	Config      ConfigRef `json:"config"`
}

// Problem is something that a person should know, and what to do about it.
type Problem struct {
	Severity Severity `json:"severity"`
	What     string   `json:"what"`           // a sentence without a full stop
	Hint     string   `json:"hint,omitempty"` // what to do
	Node     string   `json:"node,omitempty"`
	Group    string   `json:"group,omitempty"`
	Resource string   `json:"resource,omitempty"`
}

// Severity is how bad a problem is.
type Severity string

// From bad to good.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note"
)

// ConfigRef names a configuration.
type ConfigRef struct {
	Revision int64     `json:"revision"` // 0: the cluster has none
	By       string    `json:"by,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// Node is one of the cluster's machines.
type Node struct {
	Name      string    `json:"name"`
	State     NodeState `json:"state"`
	Witness   bool      `json:"witness"`
	Since     time.Time `json:"since,omitzero"` // of its presence
	Version   string    `json:"version,omitempty"`
	Addresses []string  `json:"addresses"`
	Groups    []string  `json:"groups"` // that it owns
	Fencing   *Fencing  `json:"fencing,omitempty"`
}

// Fencing is the latest attempt to have a node switched off.
type Fencing struct {
	Phase  string      `json:"phase"` // shooting, off, missed, spared
	By     string      `json:"by"`    // the node that does it
	Since  time.Time   `json:"since"` // of the phase
	Why    string      `json:"why"`
	Device string      `json:"device,omitempty"`
	Tries  int         `json:"tries,omitempty"` // in a row that came to nothing
	Times  []time.Time `json:"times,omitempty"` // at which it was confirmed off
}

// NodeState is whether a node can be used.
type NodeState string

// The states of a node.
const (
	Online    NodeState = "online"
	OnStandby NodeState = "standby" // present, and to run nothing
	Offline   NodeState = "offline" // not present
)

// Group is resources that live on the same node.
type Group struct {
	Name      string     `json:"name"`
	Node      string     `json:"node"`  // its owner; empty: nobody's
	Phase     string     `json:"phase"` // free, starting, running, stopping, failed
	Lost      bool       `json:"lost"`  // its owner is not present, and may be off
	Since     time.Time  `json:"since,omitzero"`
	Epoch     uint64     `json:"epoch"`
	Why       string     `json:"why,omitempty"` // of its last change
	Nodes     []string   `json:"nodes"`         // that may run it, the preferred ones first
	Failures  int        `json:"failures"`      // that are remembered
	Plan      *Decision  `json:"plan,omitempty"`
	Resources []Resource `json:"resources"`
}

// Resource is a service or a set of addresses.
type Resource struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Group     string    `json:"group"`
	Node      string    `json:"node"`  // that tells of it; empty: nobody does
	Phase     string    `json:"phase"` // starting, started, degraded, draining, stopping, stopped, failed; unknown: its node does not tell
	Since     time.Time `json:"since,omitzero"`
	Detail    string    `json:"detail,omitempty"`
	Addresses []string  `json:"addresses"`
	Sessions  int       `json:"sessions"`     // that a drain waits for
	Work      int       `json:"work"`         // pieces of work that a drain waits for
	Left      float64   `json:"left_seconds"` // until the rest is cut
	Failures  int       `json:"failures"`     // on this node, as far as they count
	Wished    string    `json:"wished,omitempty"`
	Warm      []string  `json:"warm"` // other nodes on which it is up
}

// PhaseUnknown is the phase of a resource of which its node tells nothing.
const PhaseUnknown = "unknown"

// What an operator wishes of a resource.
const (
	WishedStopped = "stopped"
	WishedRestart = "restart"
)

// Wish is what an operator asked for.
type Wish struct {
	Kind     string    `json:"kind"` // move, standby, maintenance, ban, stop, restart
	Group    string    `json:"group,omitempty"`
	Node     string    `json:"node,omitempty"`
	Resource string    `json:"resource,omitempty"`
	By       string    `json:"by"`
	Why      string    `json:"why,omitempty"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`
}

// Decision is what the cluster means to do about a group.
type Decision struct {
	Group     string    `json:"group"`
	Action    string    `json:"action"` // keep, start, take, move, stop, wait
	Node      string    `json:"node,omitempty"`
	From      string    `json:"from,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Abandon   []string  `json:"abandon,omitempty"` // resources that are not started again there
	Reason    string    `json:"reason"`
}

// Plan is what the cluster means to do.
type Plan struct {
	Decisions []Decision `json:"decisions"`
	Again     time.Time  `json:"again,omitzero"` // when it plans again though nothing happens
}

// Difference is a group that would be somewhere else.
type Difference struct {
	Group  string `json:"group"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"` // empty: nowhere
	Reason string `json:"reason"`
}

// WhatIf is what a change would make of the groups.
type WhatIf struct {
	If          string       `json:"if"` // a sentence
	Differences []Difference `json:"differences"`
}

// Explanation says why a group or resource is where and how it is.
type Explanation struct {
	Name      string     `json:"name"`
	Resource  bool       `json:"resource"` // else a group
	Group     Group      `json:"group"`
	Sentences []string   `json:"sentences"`
	Nodes     []Verdict  `json:"nodes"` // the group's
	Problems  []Problem  `json:"problems"`
	Failures  []Failure  `json:"failures"`
	Limits    GroupLimit `json:"limits"`
}

// Verdict is what a node is to a group.
type Verdict struct {
	Node string `json:"node"`
	Rank int    `json:"rank"`          // 0: preferred most
	Why  string `json:"why,omitempty"` // it cannot run all of it; empty: it can
	Load int    `json:"load"`          // beside the group
}

// Failure is one failure of a resource.
type Failure struct {
	Node     string    `json:"node"`
	Resource string    `json:"resource"`
	At       time.Time `json:"at"`
}

// GroupLimit is how a group's failures count.
type GroupLimit struct {
	FailureWindow float64 `json:"failure_window_seconds"`
	Failback      string  `json:"failback"`
}

// Event is something that happened.
type Event struct {
	At       time.Time `json:"at"`
	Node     string    `json:"node,omitempty"`
	By       string    `json:"by,omitempty"`
	Group    string    `json:"group,omitempty"`
	Resource string    `json:"resource,omitempty"`
	What     string    `json:"what"`
}

// Events are the latest ones, the latest last.
type Events struct {
	Events []Event `json:"events"`
	Fault  string  `json:"fault,omitempty"` // what could not be read
}

// Change is a request that changes something.
type Change struct {
	Node  string  `json:"node,omitempty"`        // where a group is to go
	Why   string  `json:"why,omitempty"`         // for the others to read; at most 200 characters
	For   float64 `json:"for_seconds,omitempty"` // 0: until it is taken back
	Name  string  `json:"name,omitempty"`        // whose failures are forgotten: a group or resource; empty: all
	Force bool    `json:"force,omitempty"`       // though something will not run then
}

// Done is the answer to a change.
type Done struct {
	What     string       `json:"what"`              // a sentence
	Revision int64        `json:"revision"`          // from which on a status shows it; 0: nothing changed
	Already  bool         `json:"already,omitempty"` // it was so before
	Node     string       `json:"node,omitempty"`    // where a group goes
	Effects  []Difference `json:"effects,omitempty"` // groups that go elsewhere by it
}

// ConfigText is the configuration that the cluster runs.
type ConfigText struct {
	ConfigRef
	TOML string `json:"toml"`
}

// ConfigChange is a request about another configuration.
type ConfigChange struct {
	File     string `json:"file"` // what messages call it
	TOML     string `json:"toml"`
	Revision int64  `json:"revision"`        // of the one that it replaces, as reviewed; for apply
	Force    bool   `json:"force,omitempty"` // though something will not run then
}

// Review is what another configuration would do.
type Review struct {
	Problems []Place        `json:"problems"` // it can not be used because of these
	Warnings []Place        `json:"warnings"`
	Changes  []ConfigEffect `json:"changes"`
	Moves    []Difference   `json:"moves"`
	Revision int64          `json:"revision"` // of the one that runs
}

// Refused says whether the configuration cannot be applied.
func (r Review) Refused() bool {
	if len(r.Problems) > 0 {
		return true
	}
	for _, c := range r.Changes {
		if c.Effect == "refuse" {
			return true
		}
	}
	return false
}

// Place is something about one place of a file.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	What   string `json:"what"`
	Hint   string `json:"hint,omitempty"`
}

// ConfigEffect is one effect of another configuration.
type ConfigEffect struct {
	Effect   string `json:"effect"` // start, stop, restart, move, adjust, later, refuse
	Node     string `json:"node,omitempty"`
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource,omitempty"`
	What     string `json:"what"`
}

// Version is what runs.
type Version struct {
	Version string `json:"version"`
	Node    string `json:"node"`
}

// Failed is an answer that is not what was asked for.
type Failed struct {
	Error Fault `json:"error"`
}

// Fault says what is wrong with a request.
type Fault struct {
	Code string `json:"code"` // bad_request, not_found, refused, conflict, forbidden, unavailable, failed
	What string `json:"what"` // a sentence without a full stop
	Hint string `json:"hint,omitempty"`
}
