// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Standby is a deed that has the service's node run nothing for a while.
func Standby() Deed {
	return Deed{Name: "standby", Title: "put its node on standby, and online again", do: func(ctx context.Context, s *System, p Part) error {
		n, err := s.Where(ctx, p)
		if err != nil {
			return err
		}
		err = s.manager.standby(ctx, n, true)
		if err == nil {
			err = s.emptied(ctx, n.Name())
		}
		return errors.Join(err, s.manager.standby(ctx, n, false))
	}}
}

// emptied waits until none of the services is on a node, and all are somewhere.
func (s *System) emptied(ctx context.Context, node string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		runs, err := s.Runs(ctx)
		there := ""
		for name, r := range runs {
			if r.Node == node {
				there = name
			}
		}
		if err == nil && there == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still on %s: %w", there, node, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// MoveWith is a deed that moves the service and another one at the same time.
func MoveWith(other Part) Deed {
	return Deed{Name: "move-two", Title: "move it and another service at once", do: func(ctx context.Context, s *System, p Part) error {
		errs := make(chan error)
		for _, q := range []Part{p, other} {
			go func() { errs <- movePart(ctx, s, q) }()
		}
		return errors.Join(<-errs, <-errs)
	}}
}
