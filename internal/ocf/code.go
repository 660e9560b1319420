// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"errors"

	"github.com/mailha/mailha/agents"
)

// Code is an exit code of the OCF resource agent API 1.1, section 3.5.
type Code int

const (
	Success          Code = 0
	Generic          Code = 1
	Args             Code = 2
	Unimplemented    Code = 3
	Perm             Code = 4
	Installed        Code = 5
	Configured       Code = 6
	NotRunning       Code = 7
	RunningPromoted  Code = 8
	FailedPromoted   Code = 9
	Degraded         Code = 190
	DegradedPromoted Code = 191
)

// Codes lists every code that the agent may exit with.
func Codes(t agents.Type) []Code {
	codes := []Code{Success, Generic, Args, Unimplemented, Perm, Installed, Configured, NotRunning}
	if declared(t, "promote") {
		return append(codes, RunningPromoted, FailedPromoted, Degraded, DegradedPromoted)
	}
	return append(codes, Degraded)
}

// String is the name that OCF gives the code.
func (c Code) String() string {
	switch c {
	case Success:
		return "success"
	case Generic:
		return "generic error"
	case Args:
		return "invalid parameter on this node"
	case Unimplemented:
		return "unimplemented action"
	case Perm:
		return "insufficient privileges"
	case Installed:
		return "not installed"
	case Configured:
		return "not configured correctly"
	case NotRunning:
		return "not running"
	case RunningPromoted:
		return "running as promoted"
	case FailedPromoted:
		return "promoted and failed"
	case Degraded:
		return "degraded"
	case DegradedPromoted:
		return "promoted and degraded"
	}
	return "unknown code"
}

// Meaning is what the code says of the resource, in a sentence. It is empty for
// a code that no agent exits with.
func (c Code) Meaning() string {
	switch c {
	case Success:
		return "The action is done; after a monitor: the resource runs and is well."
	case Generic:
		return "The action failed, or the resource runs but is not well. It may be recovered on this node."
	case Args:
		return "This node cannot run the resource with these parameters; another one may."
	case Unimplemented:
		return "The agent does not know the action."
	case Perm:
		return "The caller may not do this here."
	case Installed:
		return "This node lacks something that the resource needs."
	case Configured:
		return "A parameter is wrong: no node can run the resource with it."
	case NotRunning:
		return "The resource is stopped on this node, which was proved; only a monitor says so."
	case RunningPromoted:
		return "The resource runs, is promoted on this node, and is well; only a monitor says so."
	case FailedPromoted:
		return "The resource is promoted on this node, but has failed; only a monitor says so."
	case Degraded:
		return "The resource serves, but is not well; only a monitor says so."
	case DegradedPromoted:
		return "The resource is promoted on this node and serves, but is not well; only a monitor says so."
	}
	return ""
}

// codeOf classifies an error of any action but stop and probe.
func codeOf(err error) Code {
	var promoted agents.Promoted
	switch {
	case err == nil:
		return Success
	case errors.As(err, &promoted):
		return codeOfPromoted(promoted)
	case errors.Is(err, errAction):
		return Unimplemented
	case errors.Is(err, agents.ErrNotRunning):
		return NotRunning
	case errors.Is(err, agents.ErrDegraded):
		return Degraded
	case errors.Is(err, agents.ErrParameter):
		return Configured
	case errors.Is(err, agents.ErrInstalled):
		return Installed
	case errors.Is(err, agents.ErrPermission):
		return Perm
	case errors.Is(err, agents.ErrNode):
		return Args
	}
	return Generic
}

func codeOfPromoted(p agents.Promoted) Code {
	switch {
	case p.Err == nil:
		return RunningPromoted
	case errors.Is(p.Err, agents.ErrDegraded):
		return DegradedPromoted
	}
	return FailedPromoted
}

// codeFor narrows the code to what an action may say. A stop that failed is
// never anything but an ordinary failure: the codes that mean "cannot run here"
// would be read as a reason to look no further. A demote that failed is followed
// by a stop here, which the code for a bad parameter would make one everywhere.
// A probe on a node that lacks the service finds that nothing runs there.
func codeFor(a action, err error) Code {
	code := codeOf(err)
	switch {
	case a.name == "stop" && code != Success:
		return Generic
	case a.name == "demote" && code != Success && code != NotRunning && code != Unimplemented:
		return Generic
	case a.probe() && (code == Installed || code == Configured || code == Args):
		return NotRunning
	}
	return code
}
