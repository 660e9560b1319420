// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"syscall"

	"github.com/mailha/mailha/agents/unit"
)

// Units is what the lifecycle needs of systemd; a [unit.Manager] has it.
type Units interface {
	State(ctx context.Context, name string) (unit.State, error)
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Kill(ctx context.Context, name string, sig syscall.Signal) error
}
