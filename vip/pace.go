// SPDX-License-Identifier: Apache-2.0

package vip

import "time"

// Switches with dynamic ARP inspection shut a port that sends more than 15 ARP packets in a second (Cisco's
// default). The kernel needs some of these for itself.
const (
	paceWindow = time.Second
	paceBudget = 12
)

// pacer keeps the ARP packets sent on each interface within the budget. It is plain bookkeeping: the caller
// knows the time and does the waiting.
type pacer struct {
	rate int // packets a second; 0: paceBudget
	sent map[int][]time.Time
}

// window is the time within which a budget may go out: a port that takes more in a second gets it evenly, not at once.
func (p *pacer) window() time.Duration {
	return paceWindow * paceBudget / time.Duration(orDefault(p.rate, paceBudget))
}

// wait returns how long to wait from now before n more packets may go out on the interface. More than
// a whole budget counts as one budget.
func (p *pacer) wait(index, n int, now time.Time) time.Duration {
	recent := p.recent(index, now)
	over := len(recent) + min(n, paceBudget) - paceBudget
	if over <= 0 {
		return 0
	}
	return recent[over-1].Add(p.window()).Sub(now)
}

// note records that n packets went out at now.
func (p *pacer) note(index, n int, now time.Time) {
	if p.sent == nil {
		p.sent = make(map[int][]time.Time)
	}
	recent := p.recent(index, now)
	for range n {
		recent = append(recent, now)
	}
	p.sent[index] = recent
}

// recent are the packets still within the window, the oldest first.
func (p *pacer) recent(index int, now time.Time) []time.Time {
	all := p.sent[index]
	for len(all) > 0 && now.Sub(all[0]) >= p.window() {
		all = all[1:]
	}
	return all
}
