// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"

	"github.com/mailha/mailha/internal/lab"
)

// manager is who runs a system's services: Pacemaker or mailhad. Those that it asks
// about a node that may be down are asked elsewhere.
type manager interface {
	name() string
	// restart stops and starts a service alone, and returns when both are done.
	restart(ctx context.Context, p Part) error
	// move has a service leave a node for another one; it does not wait.
	move(ctx context.Context, p Part, to *lab.Node) error
	// moved is called when it is there.
	moved(ctx context.Context, p Part) error
	// standby has a node run nothing, or lets it run services again; it does not wait.
	standby(ctx context.Context, n *lab.Node, on bool) error
	// where is the node that a service is on, as another node than this one knows it;
	// nil: any.
	where(ctx context.Context, p Part, not *lab.Node) (*lab.Node, error)
	// rejoin has a node that was down take part again.
	rejoin(ctx context.Context, n *lab.Node) error
	// idle returns when nothing is under way.
	idle(ctx context.Context) error
	// forgive forgets failures.
	forgive(ctx context.Context, p Part) error
	// say tells people how all of it is.
	say(ctx context.Context) (string, error)
}
