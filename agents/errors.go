// SPDX-License-Identifier: Apache-2.0

package agents

import "errors"

// What went wrong, as far as the caller has to act on it differently. Errors
// of agents wrap at most one of these; an error that wraps none is an ordinary
// failure, after which the resource may be recovered on the same node.
var (
	// ErrNotRunning: the resource is cleanly stopped; this was proved.
	ErrNotRunning = errors.New("not running")
	// ErrParameter: a parameter is wrong by itself, on every node alike.
	ErrParameter = errors.New("bad parameter")
	// ErrNode: the parameters do not fit this node; another node may do.
	ErrNode = errors.New("does not fit this node")
	// ErrInstalled: something that the service needs is missing on this node.
	ErrInstalled = errors.New("not installed")
	// ErrPermission: the caller may not do this here.
	ErrPermission = errors.New("permission denied")
	// ErrDegraded: the resource serves, but is not well.
	ErrDegraded = errors.New("degraded")
)
