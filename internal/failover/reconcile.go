// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"slices"
	"time"
)

// wanted says whether a resource should run.
func (t *tenure) wanted(m *member) bool {
	name := m.resource.Name
	return !t.ending && !m.removed && !t.stopped[name] && !t.left[name] && t.given[name] == 0 && !t.groundless(m)
}

// groundless says whether something that the resource lies on is going.
func (t *tenure) groundless(m *member) bool {
	return slices.ContainsFunc(t.before(m), func(b *member) bool {
		return b.carries() && (b.renew || b.condition == ailing || b.condition == stuck || !t.wanted(b))
	})
}

// before are those that a resource is started after, and after those that are stopped
// before it.
func (t *tenure) before(m *member) []*member {
	return t.filter(func(b *member) bool { return slices.Contains(m.resource.After, b.resource.Name) })
}

func (t *tenure) after(m *member) []*member {
	return t.filter(func(a *member) bool { return slices.Contains(a.resource.After, m.resource.Name) })
}

func (t *tenure) filter(is func(*member) bool) []*member {
	var found []*member
	for _, m := range t.members {
		if is(m) {
			found = append(found, m)
		}
	}
	return found
}

// reconcile begins what can be begun, and says when to look again though nothing has
// happened; zero: never.
func (t *tenure) reconcile(ctx context.Context) (next time.Time) {
	if t.holding.Load() && !t.ending {
		t.watchAll(ctx)
		return time.Time{}
	}
	now := time.Now()
	for _, m := range t.members {
		want := t.wanted(m)
		if m.condition == working {
			if m.doing == starting && (!want || m.renew) && m.cancel != nil {
				m.cancel() // it need not be waited for
			}
			continue
		}
		if m.again.After(now) {
			if next.IsZero() || m.again.Before(next) {
				next = m.again
			}
			continue
		}
		t.next(ctx, m, want)
		if m.again.After(now) && (next.IsZero() || m.again.Before(next)) {
			next = m.again
		}
	}
	t.members = slices.DeleteFunc(t.members, func(m *member) bool { return m.removed && m.condition == down })
	t.watchAll(ctx)
	t.settle()
	return next
}

// next begins what is due about one resource.
func (t *tenure) next(ctx context.Context, m *member, want bool) {
	switch m.condition {
	case up:
		switch {
		case !want || m.renew:
			if t.free(m) {
				t.begin(ctx, m, stopping)
			}
		case m.fresh != nil:
			m.part, m.fresh = *m.fresh, nil
			t.begin(ctx, m, reloading)
		}
	case ailing, stuck: // clean up first, whatever comes then
		switch {
		case m.absent && !m.renew && t.startable(m, want):
			// A start puts an address back that somebody has removed, and leaves alone what
			// runs. To stop first would drain for nobody: clients have gone already.
			t.begin(ctx, m, starting)
		case m.absent && !m.renew && want && !t.valid():
			m.again = time.Now().Add(soon) // the lease is renewed yet, or everything stops
		case t.free(m):
			t.begin(ctx, m, stopping)
		}
	case down:
		switch {
		case t.startable(m, want):
			m.renew = false
			t.begin(ctx, m, starting)
		case want && !t.valid():
			m.again = time.Now().Add(soon)
		}
	}
}

// soon is when it is looked at again whether the lease is good for a start.
const soon = 20 * time.Millisecond

// startable says whether a resource that should run may be started now.
func (t *tenure) startable(m *member, want bool) bool {
	return want && t.grounded(m) && t.epoch >= m.floor && t.valid()
}

// free says whether nothing that is stopped before it is still there.
func (t *tenure) free(m *member) bool {
	if !t.ending && !m.carries() {
		return true // a service alone may go and come: those after it only need it to start
	}
	return !slices.ContainsFunc(t.after(m), func(a *member) bool { return a.condition != down })
}

// grounded says whether everything that it is started after is there.
func (t *tenure) grounded(m *member) bool {
	return !slices.ContainsFunc(t.before(m), func(b *member) bool { return b.condition != up })
}

// settle notes that nothing more is about to happen by itself.
func (t *tenure) settle() {
	if t.ending || t.settled {
		return
	}
	t.settled = !slices.ContainsFunc(t.members, func(m *member) bool {
		return m.condition != up && m.condition != down || m.condition == down && t.wanted(m) && t.grounded(m)
	})
}
