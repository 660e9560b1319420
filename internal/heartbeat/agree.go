// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// opinion is how a node looks to another one.
type opinion struct {
	state State
	heard clock.Time // by its judge, in time of this machine, and no later than it was
}

// ballot is what one node says of all: of has the order of the electorate.
type ballot struct {
	voter int
	of    []opinion
}

// verdict is what the nodes say together of one.
type verdict struct {
	by        []int // whose voices count, and to whom it looks dead
	condemned bool
}

// outcome is the verdicts on all nodes, in the electorate's order.
type outcome struct {
	of []verdict
	// sound: this node hears a majority, itself included, and is heard by one. Others are
	// condemned by sound nodes only.
	sound bool
	// next is when somebody is condemned without news: the last sign of life is too old
	// then. 0: nobody.
	next clock.Time
}

// count counts the voices. The electorate is all nodes that are configured,
// witnesses and what is dead included, so that two halves never both have a
// majority. The ballots are this node's own, and of others those that are fresh.
//
// The voice of a node counts if it hears a majority, itself included: who hears
// nobody is cut off himself. A node is condemned if a majority of all sees it as
// dead, without its own voice, and nobody at all has heard it within the window: who
// is heard by one is cut off from the others, and not dead.
func count(electorate, self int, ballots []ballot, now clock.Time, window time.Duration) outcome {
	majority := electorate/2 + 1
	out := outcome{of: make([]verdict, electorate)}
	heardBy := 1
	var hearsMany bool
	saved := make([]clock.Time, electorate) // until when a sign of life counts
	for _, b := range ballots {
		hears := 1
		for i, o := range b.of {
			if i == b.voter || o.state != Alive {
				continue
			}
			hears++
			if i == self {
				heardBy++
			}
			saved[i] = max(saved[i], o.heard.Add(window))
		}
		if hears < majority {
			continue
		}
		if b.voter == self {
			hearsMany = true
		}
		for i, o := range b.of {
			if i != b.voter && o.state == Suspect {
				out.of[i].by = append(out.of[i].by, b.voter)
			}
		}
	}
	out.sound = hearsMany && heardBy >= majority
	for i := range out.of {
		v := &out.of[i]
		if len(v.by) < majority || !out.sound && i != self {
			continue
		}
		v.condemned = !now.Before(saved[i])
		if !v.condemned && (out.next == 0 || saved[i].Before(out.next)) {
			out.next = saved[i]
		}
	}
	return out
}
