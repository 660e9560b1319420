// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// role is what a tenure wants of a resource.
type role int

const (
	whole   role = iota // it runs while the group is owned
	leading             // it runs by itself everywhere, and leads here while the group is owned
	leaning             // it runs by itself everywhere; the group only waits for it
)

// part is what a tenure has to do with one resource. It does not change.
type part struct {
	*driver
	role role
}

// bring and quit are what start and stop mean for the role.
func (p part) bring(ctx context.Context, epoch uint64) error {
	switch p.role {
	case leading:
		return p.until(ctx, func(ctx context.Context) error {
			if err := p.answers(ctx); err != nil {
				return err
			}
			return p.promote(ctx, epoch)
		})
	case leaning:
		return p.until(ctx, p.answers)
	}
	return p.start(ctx, epoch)
}

// until tries again what depends on a resource that is started elsewhere on this node,
// and may be about to start once more.
func (p part) until(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.resource.StartTimeout)
	defer cancel()
	const between = 100 * time.Millisecond
	for {
		err := try(ctx)
		if err == nil || pause(ctx, between) != nil {
			return err
		}
	}
}

func (p part) answers(ctx context.Context) error {
	err := p.monitor(ctx, resources.Monitor{Timeout: p.resource.StartTimeout})
	if errors.Is(err, agents.ErrDegraded) {
		return nil
	}
	return err
}

func (p part) quit(ctx context.Context, timeout time.Duration) error {
	switch p.role {
	case leading:
		return p.demote(ctx, timeout)
	case leaning:
		return nil
	}
	return p.stop(ctx, timeout)
}

func (p part) look(ctx context.Context, mon resources.Monitor) error {
	if p.role == leading {
		return p.promoted(ctx, mon)
	}
	return p.monitor(ctx, mon)
}

// carries says whether others cannot live without it: what lies on a file system goes
// with it.
func (p part) carries() bool { return p.resource.Kind == "filesystem" }
