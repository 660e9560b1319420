// SPDX-License-Identifier: Apache-2.0

package quorumtest

import (
	"sync"
	"testing"
	"time"
)

// Noise is how much later than it asked for a busy machine wakes a goroutine.
type Noise struct {
	mu      sync.Mutex
	due     time.Time
	longest time.Duration
}

// Listen measures for as long as the test runs, by a goroutine that sleeps for so long
// again and again.
func Listen(t testing.TB, sleep time.Duration) *Noise {
	n := &Noise{due: time.Now().Add(sleep)}
	end, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(end); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(sleep):
			}
			n.mu.Lock()
			n.look()
			n.due = time.Now().Add(sleep)
			n.mu.Unlock()
		}
	}()
	return n
}

func (n *Noise) look() { n.longest = max(n.longest, time.Since(n.due)) }

// Longest is the worst so far, also of a sleep that should be over by now.
func (n *Noise) Longest() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.look()
	return n.longest
}
