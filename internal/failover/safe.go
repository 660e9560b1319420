// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// Forever is what a node is safe for that has nothing which others could take over.
const Forever = time.Duration(math.MaxInt64)

// safety is until when nobody takes over what may be here.
type safety struct {
	mu    sync.Mutex
	bare  bool              // it is proved that nothing is here
	until func() clock.Time // when the latest lease begins to be let go; nil: there was none
	life  int               // which of the leases that is
}

// Safe is for how long from now nobody else takes over what may be here: Forever if it
// is proved that nothing is, and 0 or less if somebody may have begun. It needs nobody's
// goroutine to have run. What a former daemon has left, under a lease of which this one
// knows nothing, is not safe at all before this one has a lease, or it is proved gone.
//
// It does not know of a presence that is revoked before its time: others wait for no
// more than a margin then.
func (e *Engine) Safe() time.Duration {
	s := &e.safety
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bare:
		return Forever
	case s.until == nil:
		return 0
	}
	// The lease is etcd's for this node's margin longer, and then others wait for theirs,
	// which may have been configured anew.
	own := e.began.Load().Margin
	return s.until().Sub(e.now()) + own + min(own, e.Cluster().Margin)
}

// hold is called with each new lease, before anything is done under it. What is proved of
// earlier ones does not count any more.
func (s *safety) hold(deadline func() clock.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bare, s.until = false, deadline
	s.life++
}

// find is called when the node was looked through before it has its first lease. Later
// looks count for nothing: what hangs may still have something under way. Nor does a
// short one that cannot tell what a longer one has told before.
func (s *safety) find(left []leftover) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == 0 {
		s.bare = s.bare || len(left) == 0
	}
}

// prove is called when it is proved that nothing of a lease is left.
func (s *safety) prove(life int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bare = s.bare || s.life == life
}

func (s *safety) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// awaitSweeps is swept, and notes what that proves. Life is of when they began.
func (e *Engine) awaitSweeps(ctx context.Context, sweeps []*tenure, life int) error {
	err := e.swept(ctx, sweeps)
	if err == nil && len(sweeps) > 0 {
		e.safety.prove(life)
	}
	return err
}

// Bare returns an error unless nothing of the cluster's is on this node, addresses apart,
// which it lets go. It is for a node on which no loop runs, asks nobody, and takes a lease
// at most.
func (e *Engine) Bare(ctx context.Context) error {
	if err := e.sweepAddresses(ctx); err != nil {
		return err
	}
	var names []string
	for _, l := range e.leftovers(ctx, e.Cluster().Lease) {
		for r := range l.dirty {
			names = append(names, r)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("a former daemon has left %s here, or it cannot be told", strings.Join(names, ", "))
}
