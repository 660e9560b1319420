// SPDX-License-Identifier: Apache-2.0

package clocks

import "time"

// matched is the machine's clock, in nanoseconds, in terms of the host's. What comes from the
// machine comes late, and what was the least late says most about how the two go: of its
// looks none is dated earlier than it was, and none later by more than the least delay.
type matched struct {
	base   time.Time
	first  int64         // of the machine's, at base
	least  time.Duration // the host's less the machine's, since then
	recent time.Duration // the same, of the messages since the last turn
	n      int
}

// turn is how many messages it takes until older ones no longer count: crystals differ by
// some milliseconds a minute.
const turn = 500

// hear notes that a message came that was sent when the machine's clock showed so much.
func (m *matched) hear(at time.Time, sent int64) {
	if m.n == 0 {
		m.base, m.first = at, sent
	}
	delay := at.Sub(m.base) - time.Duration(sent-m.first)
	if m.n%turn == 0 {
		if m.n > 0 {
			m.least = m.recent
		}
		m.recent = delay
	}
	m.least, m.recent = min(m.least, delay), min(m.recent, delay)
	m.n++
}

// time is the host's.
func (m *matched) time(ns int64) time.Time {
	return m.base.Add(time.Duration(ns-m.first) + m.least)
}
