// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"maps"
	"net/netip"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// View is what a heart knows at an instant. It is the caller's own.
type View struct {
	At clock.Time
	// Sound: this node hears a majority of all nodes, itself included, and is heard by
	// one. If not, it condemns nobody.
	Sound bool
	Nodes []Sight // in the roster's order, this node too
	// Ignored counts packets since the heart began, each reason there.
	Ignored map[Reason]uint64
	// Slept is how long this node was kept from running when it wanted to, since the
	// heart began; LongestSleep the worst of it at a time.
	Slept, LongestSleep time.Duration
	// Closed are addresses of this node that cannot be listened at, and why.
	Closed map[netip.Addr]error
}

// Sight is what is known of one node. Of this node itself, there is only what others
// say of it.
type Sight struct {
	Node  string
	Life  uint64 // 0: it is not there
	State State
	Since clock.Time // of State
	Heard clock.Time // last, over whatever path; 0: never in this life
	// Limit is the silence after which it looks dead, and WorstGap the longest time
	// between two of its packets in the last five minutes that Limit comes from.
	Limit, WorstGap time.Duration
	// DeadTo are the nodes to which it looks dead and whose voice counts.
	DeadTo []string
	// Condemned: it looks dead to a majority of all nodes, and no node has heard it.
	Condemned bool
	// Suspicions counts how often it looked dead to this node since the heart began, in
	// all its lives, and Withdrawn how often it was heard again: false alarms, and
	// outages that ended.
	Suspicions, Withdrawn uint64
	Paths                 []Path
}

// Path is one way to a node.
type Path struct {
	Local, Remote netip.Addr
	Heard         clock.Time // 0: never in this life
	// Silent: nothing comes this way, while another one works.
	Silent bool
}

// Node finds what is known of a node.
func (v View) Node(name string) (Sight, bool) {
	for _, s := range v.Nodes {
		if s.Node == name {
			return s, true
		}
	}
	return Sight{}, false
}

func (m *mind) view(now clock.Time) View {
	v := View{At: now, Sound: m.outcome.sound, Ignored: maps.Clone(m.ignored), Slept: m.slept, LongestSleep: m.longest}
	for i, n := range m.nodes {
		s := Sight{Node: n.Name, Life: n.Life, Condemned: m.outcome.of[i].condemned}
		for _, voter := range m.outcome.of[i].by {
			s.DeadTo = append(s.DeadTo, m.nodes[voter].Name)
		}
		if t := m.tallies[n.Name]; t != nil {
			s.Suspicions, s.Withdrawn = t.suspicions, t.withdrawn
		}
		for _, p := range m.peers {
			if p.Name == n.Name {
				p.describe(&s, m.timing, now)
			}
		}
		v.Nodes = append(v.Nodes, s)
	}
	return v
}

func (p *peer) describe(s *Sight, t Timing, now clock.Time) {
	s.State, s.Since, s.Heard = p.state, p.since, p.heard
	s.Limit, s.WorstGap = p.limit(t, now), p.jitter.worst(now)
	for _, w := range p.paths {
		s.Paths = append(s.Paths, Path{Local: w.local, Remote: w.remote, Heard: w.heard, Silent: w.silent})
	}
}
