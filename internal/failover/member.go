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

// condition is what is known about a resource.
type condition int

const (
	down    condition = iota // proved, or never started
	working                  // an operation is under way
	up
	ailing // it failed, or a start did; something of it may be here
	stuck  // a stop failed: something of it is here
)

// member is a resource of a tenure, and what is known about it. It belongs to the
// tenure's loop.
type member struct {
	*driver
	role      role
	condition condition
	since     time.Time
	detail    string
	degraded  bool
	failures  []time.Time // on this node, as far as they count
	again     time.Time   // not to be tried before
	renew     bool        // it has to be stopped before it is started
	cancel    context.CancelFunc
	doing     string // while working: start or stop
}

func (m *member) enter(c condition, detail string) {
	m.condition, m.detail, m.since, m.degraded, m.cancel, m.doing = c, detail, time.Now(), false, nil, ""
}

// bring and quit are what start and stop mean for the role.
func (m *member) bring(ctx context.Context, epoch uint64) error {
	switch m.role {
	case leading:
		if err := m.answers(ctx); err != nil {
			return err
		}
		return m.promote(ctx)
	case leaning:
		return m.answers(ctx)
	}
	return m.start(ctx, epoch)
}

// answers waits for what is started elsewhere on this node.
func (m *member) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.resource.StartTimeout)
	defer cancel()
	const pause = 100 * time.Millisecond
	for {
		err := m.monitor(ctx, resources.Monitor{Timeout: m.resource.StartTimeout})
		if err == nil || errors.Is(err, agents.ErrDegraded) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (m *member) quit(ctx context.Context, timeout time.Duration) error {
	switch m.role {
	case leading:
		return m.demote(ctx, timeout)
	case leaning:
		return nil
	}
	return m.stop(ctx, timeout)
}

func (m *member) look(ctx context.Context, mon resources.Monitor) error {
	if m.role == leading {
		return m.promoted(ctx, mon)
	}
	return m.monitor(ctx, mon)
}

// recent forgets the failures that no longer count, and says how many do.
func (m *member) recent(window time.Duration) int {
	from := time.Now().Add(-window)
	for len(m.failures) > 0 && m.failures[0].Before(from) {
		m.failures = m.failures[1:]
	}
	return len(m.failures)
}

// carries says whether others cannot live without it: what lies on a file system goes
// with it.
func (m *member) carries() bool { return m.resource.Kind == "filesystem" }
