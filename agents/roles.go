// SPDX-License-Identifier: Apache-2.0

package agents

import "context"

// Roles is implemented by Steps of a service that runs on several nodes at once
// and takes what clients change on one of them.
type Roles interface {
	// SetRole has the running service take what clients change, or refuse it. When
	// it has returned, nothing is under way that the service took in another role.
	SetRole(ctx context.Context, f Facts, role Role) error
	// Role asks the running service.
	Role(ctx context.Context, f Facts) (Role, error)
}

// Follower is implemented by Steps of a service whose instances follow each
// other's changes.
type Follower interface {
	// CatchUp returns nil once this instance has all that the others are known to
	// have had, or if it was told to do without. It refuses as soon as it is clear
	// that this will not be before ctx ends.
	CatchUp(ctx context.Context, f Facts) error
	// Standing compares this instance with the others: its score, see [Scores], and
	// an error that wraps [ErrDegraded] if they are too far apart.
	Standing(ctx context.Context, f Facts, role Role) (score int, err error)
}

// ReplicaSteps is what one kind of service adds to the lifecycle of a [Replica].
// Its Drain has the service refuse changes first, and then waits until another
// instance has all that this one has.
type ReplicaSteps interface {
	Steps
	Roles
	Follower
}
