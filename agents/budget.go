// SPDX-License-Identifier: Apache-2.0

package agents

import "time"

// budget divides the time that a stop has. What comes after Kill is the
// reserve: SIGKILL, the addresses and the proof must fit into it, so that a
// slow client never makes the cluster fence the node.
type budget struct {
	Drain time.Time // work in hand may take until then
	Kill  time.Time // an orderly stop may take until then
}

const (
	minReserve  = 3 * time.Second // enough for SIGKILL and the proof on a busy node
	minOrderly  = 2 * time.Second // what a service gets to stop after its drain
	noDrainTime = 0
)

// stopBudget divides the time from now to deadline. The reserve is a fifth of
// it and at least three seconds, but never more than a third; the drain gets
// what it asks for as long as two seconds, or a quarter of the rest if that is
// less, are left for the orderly stop.
func stopBudget(now, deadline time.Time, drain time.Duration) budget {
	total := max(deadline.Sub(now), 0)
	reserve := min(max(total/5, minReserve), total/3)
	usable := total - reserve
	orderly := min(minOrderly, usable/4)
	return budget{
		Drain: now.Add(max(min(drain, usable-orderly), noDrainTime)),
		Kill:  now.Add(usable),
	}
}
