// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"log/slog"
	"time"
)

// Agent drives one resource on this node. Every method may be called at any
// time and again after it was cut off half way; each keeps to the deadline of
// its context. The parameters must have been set through Params before.
type Agent interface {
	// Params is the parameter table, bound to this agent's own fields.
	Params() Table
	// Start returns nil once the resource serves.
	Start(ctx context.Context) error
	// Stop returns nil once nothing of the resource is left on this node. It
	// works with parameters missing or wrong: what was noted at the start, and
	// what can be seen on the node, count for more.
	Stop(ctx context.Context) error
	// Monitor returns nil when the resource runs and is well,
	// [ErrNotRunning] when it is proved to be cleanly stopped, and any other
	// error when it is neither.
	Monitor(ctx context.Context, depth Depth) error
	// Validate checks the parameters by themselves (DepthShallow), or against
	// this node as well (DepthProtocol and above).
	Validate(ctx context.Context, depth Depth) error
	// Reload makes changed reloadable parameters take effect without a restart.
	Reload(ctx context.Context) error
}

// Exclusive is an [Agent] for data that several nodes can reach and one at a time may write.
type Exclusive interface {
	Agent
	// Unguarded names the data if nothing but the cluster keeps a second node from writing
	// to them, as far as the parameters say; else it is empty.
	Unguarded() string
}

// Depth says how deep a check looks: the OCF_CHECK_LEVEL of OCF 1.1.
type Depth int

const (
	DepthShallow     Depth = 0  // state of unit, processes and addresses
	DepthProtocol    Depth = 10 // the service answers in its protocol
	DepthTransaction Depth = 20 // the service does a whole piece of its work
)

// Floor is the deepest supported depth that is not deeper than d, which is
// what OCF 1.1 asks for when a level is not known.
func (d Depth) Floor() Depth {
	switch {
	case d >= DepthTransaction:
		return DepthTransaction
	case d >= DepthProtocol:
		return DepthProtocol
	}
	return DepthShallow
}

// Action is one operation with the figures suggested to the administrator.
type Action struct {
	Name     string
	Timeout  time.Duration
	Interval time.Duration // monitor only
	Depth    Depth         // monitor only
	Role     Role          // monitor only; empty: not of a Promoter
}

// Type describes a kind of agent before any instance of it exists.
type Type struct {
	Name    string // OCF type, as in ocf:mailha:NAME
	Short   string // one line, no full stop
	Long    string // paragraphs separated by empty lines
	Actions []Action
	Example map[string]string // parameters of one resource, each a single word: what the manual shows
	New     func(Env) Agent
}

// MaxInstance is the greatest length of an instance's name, in bytes: files and
// tables of the packet filter, which may have 64, are named after it and its parts.
const MaxInstance = 56

// Env is what an agent gets from the one who runs it.
type Env struct {
	// Kind is the agent's name, as in ocf:mailha:KIND.
	Kind string
	// Instance is the resource's name, unique on this node, of at most
	// MaxInstance bytes.
	Instance string
	// StateDir is a directory that is empty after a boot, such as /run/mailha.
	StateDir string
	// Units drives systemd.
	Units Units
	// Epoch is the number under which the caller owns the resource; it grows each
	// time that another node does. Data that were last run under a greater one are
	// not touched. 0: the caller counts none.
	Epoch uint64
	// Valid says for how long from now the caller may hold addresses: those that are
	// taken get no longer from the kernel, and the caller extends them ([vip.Extend]).
	// Nil: until they are released.
	Valid func() time.Duration
	// Freed says that the node that had the resource has just proved that nothing of it
	// is left there: others are asked for its addresses all the same, but not for long.
	Freed bool
	// Scores takes how fit an instance is to be promoted; nil: nobody asks.
	Scores Scores
	// Log receives what happens; nil discards it.
	Log *slog.Logger
}

// Logger is the log that was given, or one that discards.
func (e Env) Logger() *slog.Logger {
	if e.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Log
}
