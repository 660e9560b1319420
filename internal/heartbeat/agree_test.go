// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mailha/mailha/internal/clock"
)

const (
	noon   = clock.Time(time.Hour)
	window = 150 * time.Millisecond
)

// world is who hears whom: hears[a][b], a hears b.
type world [][]bool

func newWorld(n int) world {
	w := make(world, n)
	for i := range w {
		w[i] = slices.Repeat([]bool{true}, n)
	}
	return w
}

// dead have no ballot, and nobody hears them.
func (w world) kill(nodes ...int) world {
	for _, d := range nodes {
		for i := range w {
			w[i][d], w[d][i] = false, false
		}
	}
	return w
}

// ballots are what a node has at hand: its own and those of whom it hears.
func (w world) ballots(self int) []ballot {
	var all []ballot
	for voter := range w {
		if voter != self && !w[self][voter] {
			continue
		}
		b := ballot{voter: voter, of: make([]opinion, len(w))}
		for i := range w {
			b.of[i] = opinion{Suspect, noon.Add(-time.Second)}
			if w[voter][i] {
				b.of[i] = opinion{Alive, noon.Add(-20 * time.Millisecond)}
			}
		}
		all = append(all, b)
	}
	return all
}

func (w world) outcome(self int) outcome {
	return count(len(w), self, w.ballots(self), noon, window)
}

// condemned are the nodes that self may have fenced, as letters.
func (w world) condemned(self int) string {
	var s strings.Builder
	for i, v := range w.outcome(self).of {
		if v.condemned && i != self {
			s.WriteByte(byte('A' + i))
		}
	}
	return s.String()
}

func cut(w world, from, to int) world { // what from sends, to does not hear
	w[to][from] = false
	return w
}

func both(w world, a, b int) world { return cut(cut(w, a, b), b, a) }

func split(w world, left ...int) world {
	for a := range w {
		for b := range w {
			if slices.Contains(left, a) != slices.Contains(left, b) {
				both(w, a, b)
			}
		}
	}
	return w
}

func TestAgreement(t *testing.T) {
	for name, tt := range map[string]struct {
		world world
		want  string // whom each one condemns
	}{
		"all well":                  {newWorld(3), ", , "},
		"one dead":                  {newWorld(3).kill(2), "C, C, "},
		"one dead of two":           {newWorld(2).kill(1), ", "},
		"one dead of four":          {newWorld(4).kill(3), "D, D, D, "},
		"two dead of four":          {newWorld(4).kill(2, 3), ", , , "},
		"two dead of five":          {newWorld(5).kill(3, 4), "DE, DE, DE, , "},
		"two dead of three":         {newWorld(3).kill(1, 2), ", , "},
		"a link between two is cut": {both(newWorld(3), 0, 1), ", , "},
		"one link is cut one way":   {cut(newWorld(3), 0, 1), ", , "},
		"one is mute":               {cut(cut(newWorld(3), 2, 0), 2, 1), "C, C, "},
		"one is deaf":               {cut(cut(newWorld(3), 0, 2), 1, 2), ", , "},
		"deaf and mute":             {split(newWorld(3), 2), "C, C, "},
		"one deaf, the others cut":  {both(cut(cut(newWorld(3), 0, 2), 1, 2), 0, 1), ", , "},
		"each alone":                {newWorld(3).kill(0, 1, 2), ", , "},
		"halves":                    {split(newWorld(4), 0, 1), ", , , "},
		"three and two":             {split(newWorld(5), 3, 4), "DE, DE, DE, , "},
		"thirds of two":             {split(split(newWorld(6), 0, 1), 2, 3), ", , , , , "},
		"a majority is cut from one, one hears it": {cut(cut(cut(newWorld(5), 4, 0), 4, 1), 4, 2), ", , , , "},
	} {
		var got []string
		for self := range tt.world {
			got = append(got, tt.world.condemned(self))
		}
		if all := strings.Join(got, ", "); all != tt.want {
			t.Errorf("%s: got %q, want %q", name, all, tt.want)
		}
	}
}

// A node learns that the others have given it up.
func TestCondemnedItself(t *testing.T) {
	w := cut(cut(newWorld(3), 2, 0), 2, 1)
	o := w.outcome(2)
	if !o.of[2].condemned || o.sound || len(o.of[2].by) != 2 {
		t.Errorf("the mute one finds %+v", o)
	}
}

// A sign of life that is too old has been one.
func TestSignsOfLifeEnd(t *testing.T) {
	w := cut(cut(cut(newWorld(5), 4, 0), 4, 1), 4, 2)
	o := w.outcome(0)
	if o.of[4].condemned || o.next != noon.Add(130*time.Millisecond) {
		t.Fatalf("got %+v", o)
	}
	if o := count(5, 0, w.ballots(0), o.next, window); !o.of[4].condemned {
		t.Errorf("at its end: %+v", o)
	}
}

// Whatever the network does, as long as all see it as it is.
func TestAgreementNeverHarms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "nodes")
		w := newWorld(n)
		for a := range n {
			for b := range n {
				w[a][b] = a == b || rapid.Bool().Draw(t, "hears")
			}
		}
		majority := n/2 + 1
		for self := range n {
			o := w.outcome(self)
			for target, v := range o.of {
				if !v.condemned {
					continue
				}
				if len(v.by) < majority || slices.Contains(v.by, target) {
					t.Fatalf("%d is condemned by %v of %d", target, v.by, n)
				}
				if target != self && !o.sound {
					t.Fatalf("%d condemns %d, and is cut off", self, target)
				}
				if target != self && w[self][target] {
					t.Fatalf("%d condemns %d, which it hears", self, target)
				}
				// Nobody is shot by whom it would shoot.
				if back := w.outcome(target); target != self && back.of[self].condemned && back.sound {
					t.Fatalf("%d and %d condemn each other", self, target)
				}
			}
		}
	})
}

// One voice is never enough, with however many nodes.
func TestOneObserverCondemnsNobody(t *testing.T) {
	for n := 2; n <= 9; n++ {
		for target := 1; target < n; target++ {
			w := both(newWorld(n), 0, target)
			for self := range n {
				if got := w.condemned(self); got != "" {
					t.Errorf("%d of %d condemns %q when 0 and %d are cut", self, n, got, target)
				}
			}
		}
	}
}
