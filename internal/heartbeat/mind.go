// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"net/netip"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// Timing is how often a node is heard, and after how long a silence it looks dead.
type Timing struct {
	Interval time.Duration // 10ms to 1s
	// Suspect is the least silence, at least three intervals. Where packets were seen
	// to come unsteadily it is longer, up to SuspectMax.
	Suspect, SuspectMax time.Duration
}

// Defaults are the timing that a cluster on one site runs with.
func Defaults() Timing {
	return Timing{Interval: 50 * time.Millisecond, Suspect: 150 * time.Millisecond, SuspectMax: time.Second}
}

// mind is what a heart knows. Nothing in it waits, or asks what time it is.
type mind struct {
	timing   Timing
	self     string
	life     uint64
	nodes    []Node  // the electorate
	peers    []*peer // those that are there, in the order of nodes
	sequence uint64
	asking   bool
	outcome  outcome
	tallies  map[string]*tally
	ignored  map[Reason]uint64

	// The time in which this node could hear. wake is when it wanted to run next: from
	// then until it did, it was asleep, which is nobody else's silence.
	wake, seen clock.Time
	slept      time.Duration
	longest    time.Duration // it has slept at a time
}

// tally counts for as long as the heart beats, whatever lives a node has.
type tally struct{ suspicions, withdrawn uint64 }

func newMind(self string, t Timing) *mind {
	m := &mind{timing: t, self: self, tallies: map[string]*tally{}, ignored: map[Reason]uint64{}}
	for _, r := range Reasons() {
		m.ignored[r] = 0
	}
	return m
}

// arise takes note that this node runs.
func (m *mind) arise(now clock.Time) {
	if from := max(m.wake, m.seen); m.wake != 0 && from.Before(now) {
		m.slept += now.Sub(from)
		m.longest = max(m.longest, now.Sub(m.wake))
	}
	m.seen = now
}

// awake is how long it has been so.
func (m *mind) awake(now clock.Time) time.Duration { return time.Duration(now) - m.slept }

// follow takes a new roster.
func (m *mind) follow(nodes []Node, now clock.Time) {
	m.nodes = slices.Clone(nodes)
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == m.self })
	var own Node
	if i >= 0 {
		own = nodes[i]
	}
	newborn := own.Life != m.life
	m.life = own.Life
	var peers []*peer
	for _, n := range nodes {
		if n.Name == m.self || n.Life == 0 {
			continue
		}
		if m.tallies[n.Name] == nil {
			m.tallies[n.Name] = new(tally)
		}
		p := &peer{Node: n, since: now}
		if i := slices.IndexFunc(m.peers, func(p *peer) bool { return p.same(n) }); i >= 0 {
			p = m.peers[i]
			p.Node = n
		}
		if newborn {
			p.forget(now)
		}
		p.route(pair(own.Addresses, n.Addresses))
		peers = append(peers, p)
	}
	m.peers = peers
	m.settle(now)
}

// route gives a peer its paths, and keeps what is known of those that it has.
func (p *peer) route(all []ends) {
	var paths []*path
	for _, e := range all {
		w := &path{ends: e}
		if i := slices.IndexFunc(p.paths, func(w *path) bool { return w.ends == e }); i >= 0 {
			w = p.paths[i]
		}
		paths = append(paths, w)
	}
	p.paths = paths
}

// news is what follows from a packet, or from none.
type news struct {
	changed   bool
	suspected []*peer // they look dead
	back      *peer   // it looked dead
	asks      *peer   // it asks for a promise
	paths     []*path // silent or no longer
}

// hear takes what came for the address local from another one.
func (m *mind) hear(local, from netip.Addr, b []byte, cluster [8]byte, now clock.Time) (n news) {
	m.arise(now)
	var p *peer
	var w *path
	k, why := decode(b, cluster)
	if why == "" {
		if p, w = m.sender(k.life, ends{local, from}); w == nil {
			why = Stranger
		}
	}
	var fresh bool
	if why == "" {
		fresh, why = p.accept(w, k, b, m.life, now)
	}
	if why != "" {
		m.ignored[why]++
		return n
	}
	if !fresh {
		return n
	}
	before := p.state
	if p.hear(k, b, m.timing, now, m.awake(now)) {
		m.tallies[p.Name].withdrawn++
		n.back = p
	}
	p.believe(m.life, now)
	if k.asking {
		n.asks = p
	}
	n.changed = m.settle(now) || p.state != before
	return n
}

// sender finds who is in a life and sends that way.
func (m *mind) sender(life uint64, e ends) (*peer, *path) {
	for _, p := range m.peers {
		if p.Life != life || m.life == 0 {
			continue
		}
		for _, w := range p.paths {
			if w.ends == e {
				return p, w
			}
		}
	}
	return nil, nil
}

// judge finds who looks dead. All that has come has to be heard before.
func (m *mind) judge(now clock.Time) (n news) {
	m.arise(now)
	for _, p := range m.peers {
		if p.state == Alive && p.overdue(m.timing, now, m.awake(now)) >= 0 {
			p.become(Suspect, now)
			m.tallies[p.Name].suspicions++
			n.suspected = append(n.suspected, p)
		}
		n.paths = append(n.paths, p.quiet(m.timing, now)...)
	}
	n.changed = m.settle(now) || len(n.suspected)+len(n.paths) > 0
	return n
}

// next is when judge may find something if nothing is heard until then.
func (m *mind) next(now clock.Time) clock.Time {
	at := now.Add(m.timing.Interval)
	for _, p := range m.peers {
		if p.state == Alive {
			at = min(at, now.Add(-p.overdue(m.timing, now, m.awake(now))))
		}
	}
	if m.outcome.next != 0 {
		at = min(at, m.outcome.next)
	}
	return max(at, now)
}

// settle counts the voices anew, and says whether what the nodes say has changed.
func (m *mind) settle(now clock.Time) bool {
	own := ballot{voter: m.index(m.self), of: make([]opinion, len(m.nodes))}
	if own.voter < 0 {
		m.outcome = outcome{of: make([]verdict, len(m.nodes))}
		return false
	}
	ballots := []ballot{own}
	for _, p := range m.peers {
		own.of[m.index(p.Name)] = opinion{p.state, p.heard}
		// Silence in which this node slept is nobody's fault, but news it is not.
		if p.state == Alive && now.Sub(p.heard) < p.limit(m.timing, now) {
			ballots = append(ballots, m.ballot(p))
		}
	}
	before := m.outcome
	m.outcome = count(len(m.nodes), own.voter, ballots, now, m.timing.Suspect)
	return before.sound != m.outcome.sound || !slices.EqualFunc(before.of, m.outcome.of, func(a, b verdict) bool {
		return a.condemned == b.condemned && slices.Equal(a.by, b.by)
	})
}

// ballot is what a peer has said last.
func (m *mind) ballot(p *peer) ballot {
	b := ballot{voter: m.index(p.Name), of: make([]opinion, len(m.nodes))}
	for _, s := range p.last.of {
		// It may be of another life than the one that is followed here.
		name := m.self
		if s.life != m.life {
			i := slices.IndexFunc(m.peers, func(p *peer) bool { return p.Life == s.life })
			if i < 0 {
				continue
			}
			name = m.peers[i].Name
		}
		b.of[m.index(name)] = opinion{s.state, p.heard.Add(-s.age)}
	}
	return b
}

func (m *mind) index(name string) int {
	return slices.IndexFunc(m.nodes, func(n Node) bool { return n.Name == name })
}

// say is the next packet.
func (m *mind) say(now clock.Time, leaving bool) packet {
	m.sequence++
	k := packet{life: m.life, sequence: m.sequence, sent: now, interval: m.timing.Interval, asking: m.asking, leaving: leaving}
	for _, p := range m.peers {
		s := sight{life: p.Life}
		if p.heard != 0 {
			s.state, s.age, s.echo = p.state, now.Sub(p.heard), p.last.sent
			if p.answered != 0 && p.answered == s.echo {
				s.agree, s.promise = true, p.promised
			}
		}
		k.of = append(k.of, s)
	}
	return k
}
