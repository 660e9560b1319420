// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"sync"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// drift is how much of a span the clocks of two machines may differ by: one part in
// so many, which is far more than NTP is allowed to slew (adjtimex(2)).
const drift = 100

// promises are what this node has promised to others: until when it takes nothing
// of theirs. They outlive whom they were made to, and the roster.
type promises struct {
	answering sync.Mutex // one answer at a time
	mu        sync.Mutex
	until     map[string]clock.Time
}

// answer promises a node to take nothing of its for d from now on if agree says so.
// The promise stands already while agree is asked: whoever notes that it takes
// something, and looks at the promises only then, either keeps agree from it or
// sees it.
func (p *promises) answer(node string, now clock.Time, d time.Duration, agree func(string) bool) bool {
	p.answering.Lock()
	defer p.answering.Unlock()
	before := p.get(node)
	p.set(node, max(before, now.Add(d+d/drift)))
	if agree(node) {
		return true
	}
	p.set(node, before) // a promise that was given before stands
	return false
}

func (p *promises) get(node string) clock.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until[node]
}

func (p *promises) set(node string, until clock.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until[node] = until
}

// believe takes what a peer promises in what it has said last. It is counted from
// before our packet was sent, which it answers: its own count began later. What it
// had promised before it keeps, too.
func (p *peer) believe(life uint64, now clock.Time) {
	if s, ok := p.last.about(life, len(p.last.of)); ok && s.agree && s.echo <= now {
		p.held = max(p.held, s.echo.Add(s.promise))
	}
}

// heldUntil is until when all other nodes of the electorate have promised to take
// nothing of this one's; 0: one of them has not.
func (m *mind) heldUntil() clock.Time {
	if len(m.peers) == 0 || len(m.peers) != len(m.nodes)-1 {
		return 0
	}
	until := m.peers[0].held
	for _, p := range m.peers {
		until = min(until, p.held)
	}
	return until
}
