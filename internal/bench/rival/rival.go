// SPDX-License-Identifier: Apache-2.0

package rival

import (
	"context"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Rival keeps the address and a Postfix on its ground, in one of the ways that it can.
type Rival interface {
	// Name is for the head of a column.
	Name() string
	Ground() *Ground
	// Enter has it work in this way from now on, and returns when all is well.
	Enter(ctx context.Context) error
	// Move has the address go to a node, as an administrator would ask for it. It need
	// not wait.
	Move(ctx context.Context, to *lab.Node) error
	// Mend makes all well again after what was done to a node, which may be off.
	Mend(ctx context.Context, n *lab.Node) error
	// Notice is a regular expression for the line of the journal by which it says that
	// it has noticed that Postfix died.
	Notice() string
	// Lease is for how long it has to leave a lost node alone; 0: it has no such time.
	Lease() time.Duration
	// Versions are the packages that it is made of.
	Versions() []string
}
