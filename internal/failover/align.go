// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/resources/placement"
)

// shaped is what a tenure was told to consist of, and what that came from.
type shaped struct {
	shape
	from *resources.Cluster
	out  string // the resources that have to wait for the other tenure of their group
}

func (s shaped) same(o shaped) bool { return s.from == o.from && s.out == o.out }

// standby is what runs of a group on every node that may own it.
type standby struct {
	tenure *tenure
	shape  shaped
	sent   order
	ended  bool
	failed time.Time // the last time
	count  int       // of failures
	row    int       // of them, each within the window of the one before
}

// rest is how long what has failed is left alone, as a plan does with what is owned. Where
// the group itself is, it waits for this.
func (s *standby) rest(window time.Duration, owned bool) time.Duration {
	if owned {
		return placement.Rest(0, window)
	}
	return placement.Rest(s.row-1, window)
}

// fail notes a failure.
func (s *standby) fail(f failure, window time.Duration) {
	if f.at.Sub(s.failed) > window {
		s.row = 0
	}
	s.failed, s.count, s.row = f.at, f.number, s.row+1
}

func (s *standby) end() {
	if !s.ended {
		s.ended = true
		s.tenure.order(order{end: true})
	}
}

func (s *standby) over() bool {
	select {
	case <-s.tenure.done:
		return true
	default:
		return false
	}
}

// standbyOver says whether all of it has ended.
func (e *Engine) standbyOver() bool {
	for _, s := range e.standby {
		if !s.over() {
			return false
		}
	}
	return true
}

// align has all tenures consist of what the configuration and the operators want.
func (e *Engine) align(u *turn) {
	for _, name := range slices.Sorted(maps.Keys(e.owned)) {
		o := e.owned[name]
		if _, known := e.Cluster().Group(name); !known || o.reason != "" {
			continue
		}
		s, err := e.shapeOf(u, name, false)
		if err == nil && !s.same(o.shape) {
			o.shape = s
			o.tenure.order(order{shape: &s.shape})
		}
	}
	if !u.leaving {
		e.alignStandby(u)
	}
}

func (e *Engine) alignStandby(u *turn) {
	c := e.Cluster()
	for name, s := range e.standby {
		if _, known := c.Group(name); !known {
			s.end()
		}
		if s.over() {
			delete(e.standby, name)
		}
	}
	stopped := stoppedBy(u)
	for _, g := range c.Groups {
		now, err := e.shapeOf(u, g.Name, true)
		s := e.standby[g.Name]
		switch {
		case err != nil || s == nil && len(now.parts) == 0:
		case s == nil:
			t := newTenure(g.Name, 0, now.shape, e.Log.With("standby", true), e.news.put, e.watch)
			t.lease, t.valid, t.meter = u.lease, u.session.Valid, e.Meter
			t.stopped = stopped
			t.holding.Store(e.caring)
			e.standby[g.Name] = &standby{tenure: t, shape: now}
			go t.run(u.term.ctx)
		case !s.ended:
			if !now.same(s.shape) {
				s.shape = now
				s.tenure.order(order{shape: &now.shape})
			}
			seen := 0
			if s.count > 0 && u.now.Sub(s.failed) > s.rest(g.FailureWindow, e.owned[g.Name] != nil) {
				seen = s.count // another try
			}
			s.sent = s.tenure.keep(s.sent, order{left: map[string]bool{}, stopped: stopped, hold: &e.caring, seen: seen})
		}
	}
}

// shapeOf is what the tenure of an owned group, or of what runs everywhere, is to
// consist of. A resource that the other tenure has otherwise waits until it has gone
// from there.
func (e *Engine) shapeOf(u *turn, name string, everywhere bool) (shaped, error) {
	c := e.Cluster()
	g, _ := c.Group(name)
	s := shaped{from: c, shape: shape{window: g.FailureWindow, compare: e.compare}}
	if everywhere && !e.stands(u, g) {
		s.out = "*"
		return s, nil
	}
	var out []string
	for _, r := range g.Resources {
		warm := r.Standby == resources.Warm
		if everywhere && !warm {
			continue
		}
		if e.elsewhere(name, r.Name) {
			out = append(out, r.Name)
			continue
		}
		if o := e.owned[name]; everywhere && o != nil && o.tenure.holds(r.Name, whole) {
			out = append(out, r.Name)
			continue
		}
		if sb := e.standby[name]; !everywhere && !warm && sb != nil && sb.tenure.holds(r.Name, whole) {
			out = append(out, r.Name)
			continue
		}
		d, err := e.driver(r)
		if err != nil {
			return s, err
		}
		p := part{driver: d}
		switch {
		case !everywhere && warm && d.promotes():
			p.role = leading
		case !everywhere && warm:
			p.role = leaning
		}
		s.parts = append(s.parts, p)
	}
	s.out = strings.Join(out, " ")
	return s, nil
}

// elsewhere says whether a resource may still be here as a part of another group: of the
// one that it was in before a reload, or of what a former daemon has left.
func (e *Engine) elsewhere(group, resource string) bool {
	for name, o := range e.owned {
		if name != group && o.tenure.holds(resource, whole, leading, leaning) {
			return true
		}
	}
	for name, s := range e.standby {
		if name != group && s.tenure.holds(resource, whole) {
			return true
		}
	}
	return false
}

// strewn says whether something of a group is here in another one's hands.
func (e *Engine) strewn(group string) bool {
	g, _ := e.Cluster().Group(group)
	return slices.ContainsFunc(g.Resources, func(r resources.Resource) bool { return e.elsewhere(group, r.Name) })
}

// stands says whether this node runs what of a group runs everywhere.
func (e *Engine) stands(u *turn, g resources.Group) bool {
	if _, may := g.Rank(e.Node.Name); !may || e.Witness {
		return false
	}
	return !slices.ContainsFunc(u.state.Wishes, func(w state.Wish) bool {
		return !w.Over(u.now) && (w.Kind == state.Standby && w.Node == e.Node.Name || w.Kind == state.StopGroup && w.Group == g.Name)
	})
}
