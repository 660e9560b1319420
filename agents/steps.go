// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"time"

	"github.com/mailha/mailha/vip"
)

// Steps is what one kind of service adds to the common lifecycle.
type Steps interface {
	// Inspect reads the service's own configuration on this node. What needs no
	// configuration, unit and processes, is told even with an error. Errors wrap
	// [ErrInstalled] when something is missing here, [ErrNode] when it does not
	// fit here, [ErrParameter] when it is wrong everywhere.
	Inspect(ctx context.Context) (Facts, error)
	// Check asks the running service itself. At DepthShallow it only has to say
	// whether it serves: a start waits for that, with clients behind the gate.
	// Errors wrap [ErrDegraded] when it serves but is not well.
	Check(ctx context.Context, f Facts, depth Depth) error
	// Drain lets the work in hand finish and keeps new work from beginning. No
	// client can come any more, but those that are there may still hand work in,
	// which is to be kept for the next start. It returns when that is done or ctx
	// ends, and says how much work had to be left. It may tell meanwhile how much
	// is left.
	Drain(ctx context.Context, f Facts, tell func(left int)) (left int, err error)
}

// Recoverer is implemented by Steps whose data may need work after an unclean
// end, or a quicker start after a clean one. Clean means that all work in hand
// was finished and nothing had to be killed.
type Recoverer interface {
	// MarkPath is the file that tells how the last run of these data ended. It
	// lies beside them and goes where they go. Of others' files in its place nothing
	// is believed. Empty: these data can have no mark.
	MarkPath(f Facts) string
	// Identity is another one when the data are not those that a clean end left,
	// but were restored from a copy. It may be empty.
	Identity(f Facts) (string, error)
	// Recover prepares the start that follows. Clean is false after an end that
	// was not, and when nothing is known about the last end. It returns what it
	// did in a few words; empty: there was nothing to do.
	Recover(ctx context.Context, f Facts, clean bool) (did string, err error)
}

// Mender is implemented by Steps that repair some of what a recovery has found with
// the help of the running service.
type Mender interface {
	// Mend is called once the service answers, with its gate still closed. Clients wait
	// meanwhile, so that it takes a part of the time only, and tells what it did not
	// come to as an error. It returns what it did in a few words; empty: there was
	// nothing to do.
	Mend(ctx context.Context, f Facts) (did string, err error)
}

// Dismisser is implemented by Steps that can end idle sessions in the way that
// the protocol provides for, rather than by cutting them.
type Dismisser interface {
	// Dismiss ends those of the sessions that are idle: neither within a command
	// nor a transaction. It is called again while there are sessions, with few
	// enough of them at a time that clients do not all come back at once.
	Dismiss(ctx context.Context, f Facts, idle []vip.Session) (dismissed int, err error)
}

// Parter is implemented by Steps of a service whose clients stay connected while
// they want nothing: a drain need not wait for all of their sessions.
type Parter interface {
	// Waits says whether a drain that has lasted for so long waits for the session.
	Waits(session vip.Session, lasted time.Duration) bool
}

// Usher is implemented by Steps of which some sessions would end without a word
// when the unit is stopped.
type Usher interface {
	// ShowOut says goodbye to the clients that are still there when the time of the
	// drain is over. It has a second at most, and what it does not do is no harm.
	ShowOut(ctx context.Context, f Facts) error
}

// CleanCutter is implemented by Steps whose data are as good after sessions and
// work had to be cut as after they have ended by themselves, as long as no process
// had to be killed.
type CleanCutter interface{ CutsCleanly() bool }

// Drained says how a drain went.
type Drained struct {
	Sessions  int           // client sessions when it began
	Dismissed int           // client sessions that were idle and were ended politely
	Cut       int           // client sessions that had to be cut
	Left      int           // pieces of work that did not finish
	Took      time.Duration // until nothing was left or time was up
	Err       error         // what could not be found out
}

// Complete says whether everything could finish.
func (d Drained) Complete() bool { return d.Cut == 0 && d.Left == 0 && d.Err == nil }
