// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"time"
)

// Steps is what one kind of service adds to the common lifecycle.
type Steps interface {
	// Inspect reads the service's own configuration on this node. What needs no
	// configuration, unit and processes, is told even with an error. Errors wrap
	// [ErrInstalled] when something is missing here, [ErrNode] when it does not
	// fit here, [ErrParameter] when it is wrong everywhere.
	Inspect(ctx context.Context) (Facts, error)
	// Check asks the running service itself, at DepthProtocol or deeper.
	// Errors wrap [ErrDegraded] when it serves but is not well.
	Check(ctx context.Context, f Facts, depth Depth) error
	// Drain lets the work in hand finish and keeps new work from beginning. No
	// client can come any more, but those that are there may still hand work in,
	// which is to be kept for the next start. It returns when that is done or ctx
	// ends, and says how much work had to be left.
	Drain(ctx context.Context, f Facts) (left int, err error)
}

// CleanEnder is implemented by Steps whose service starts faster after a clean
// end: all work in hand was finished, and nothing had to be killed.
type CleanEnder interface {
	// NoteCleanEnd leaves a mark beside the service's data.
	NoteCleanEnd(f Facts) error
	// UseCleanEnd takes the mark away, if there is one, and prepares the start
	// accordingly.
	UseCleanEnd(f Facts) error
}

// Drained says how a drain went.
type Drained struct {
	Sessions int           // client sessions when it began
	Cut      int           // client sessions that had to be cut
	Left     int           // pieces of work that did not finish
	Took     time.Duration // until nothing was left or time was up
	Err      error         // what could not be found out
}

// Complete says whether everything could finish.
func (d Drained) Complete() bool { return d.Cut == 0 && d.Left == 0 && d.Err == nil }
