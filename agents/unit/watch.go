// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Watch calls f, never twice at once, with the unit's state now and then with each other
// state that is seen, until ctx ends; it returns ctx's error. States that follow fast on
// one another may be seen as one, but the last is never lost, and a new main process
// shows by its MainPID. When the bus is away and can't be had again at once, f is told a
// State in which only Name is set.
func (m *Manager) Watch(ctx context.Context, name string, f func(State)) error {
	name, err := fullName(name)
	if err != nil {
		return err
	}
	var last State
	tell := func(s State) {
		if s != last {
			last = s
			f(s)
		}
	}
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		seen, err := m.watch(ctx, name, tell)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errClosed):
			return fmt.Errorf("watch unit %s: %w", name, unanswered(ctx, err))
		}
		m.log.Info("bus lost while watching a unit", "unit", name, "error", err)
		if seen {
			wait = firstPause
			continue
		}
		tell(State{Name: name})
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// watch watches over one connection, and says whether it has seen the unit.
func (m *Manager) watch(ctx context.Context, name string, tell func(State)) (seen bool, err error) {
	c, err := m.connect(ctx)
	if err != nil {
		return false, err
	}
	s, _, err := c.state(ctx, name)
	if err != nil {
		return false, err
	}
	path := unitPath(s.Name) // an alias has no signals of its own
	rule := fmt.Sprintf("type='signal',sender='%s',path='%s',interface='%s',member='PropertiesChanged'",
		systemdName, path, propsFace)
	l, err := c.listen(ctx, func(s *dbus.Signal) bool { return s.Path == path || newOwner(s) }, rule, ownerRule)
	if err != nil {
		return false, err
	}
	defer l.close()
	for {
		s, _, err := c.state(ctx, name)
		if err != nil {
			return seen, err
		}
		tell(s)
		seen = true
		if err := l.change(ctx); err != nil {
			return seen, err
		}
	}
}

// change waits until there may be something new to see. It fails when the listener
// is of no more use.
func (l *listener) change(ctx context.Context) error {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	select {
	case s := <-l.ch:
		for ; ; s = <-l.ch { // one look is enough for all that is here by now
			if newOwner(s) {
				return errNewOwner
			}
			if len(l.ch) == 0 {
				return nil
			}
		}
	case <-look.C:
		return nil
	case <-l.conn.lost():
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
}
