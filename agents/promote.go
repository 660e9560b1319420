// SPDX-License-Identifier: Apache-2.0

package agents

import "context"

// Promoter is implemented by agents of resources that run on several nodes at
// once, one of which is promoted. Start leaves the resource unpromoted, Stop
// works in either role, and Monitor tells the role by [Promoted].
type Promoter interface {
	// Promote returns nil once the resource, which runs here already, serves as
	// the promoted one.
	Promote(ctx context.Context) error
	// Demote returns nil once it runs on as one that is not promoted. It works with
	// parameters missing or wrong. What does not run is [ErrNotRunning].
	Demote(ctx context.Context) error
}

// Role is what a resource of a [Promoter] is on one node: OCF resource agent API
// 1.1, section 3.2.
type Role string

// The roles.
const (
	RoleUnpromoted Role = "Unpromoted"
	RolePromoted   Role = "Promoted"
)

// Promoted is what Monitor returns instead of Err about a resource that is
// promoted here. Without Err it is well.
type Promoted struct {
	Err error
	// Addresses says that Err is about the addresses, which only the promoted one has:
	// to start the service anew would not mend it.
	Addresses bool
}

func (p Promoted) Error() string {
	if p.Err == nil {
		return "running as the promoted one"
	}
	return "promoted: " + p.Err.Error()
}

// Unwrap returns what is wrong.
func (p Promoted) Unwrap() error { return p.Err }

// Scores tells whoever decides where a resource is promoted how fit the instance
// on this node is. What was told is forgotten when the node reboots.
type Scores interface {
	// Set tells a score: the greater the fitter. A negative one means that this
	// instance must not be promoted; [Unfit] stands above all other reasons.
	Set(ctx context.Context, score int) error
	// Clear takes back what was told: there is no instance here.
	Clear(ctx context.Context) error
}

// Unfit is the score of an instance that must not be promoted whatever speaks
// for its node.
const Unfit = -1_000_000
