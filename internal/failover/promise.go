// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/resources"
)

// promises are until when this node takes nothing of others', as it has told them when
// they could not reach etcd.
type promises struct {
	until map[string]clock.Time // by node
	// began is when this daemon did: what a former one had promised is not known.
	began    clock.Time
	lease    time.Duration // with which this daemon began, and by which a former one may have promised
	deciding bool
}

// Agree promises a node, which cannot reach etcd, to take nothing of it for d from now on,
// and keeps that for a margin more. It refuses unless the configuration says so and this
// node cannot reach etcd either: whoever can goes by what etcd says. It does not wait.
func (e *Engine) Agree(node string, d time.Duration) bool {
	c := e.Cluster()
	if _, known := c.Node(node); !known || c.OnQuorumLoss != resources.HoldIfAllPeersAgree {
		return false
	}
	if s := e.Session(); s != nil && !s.Silent() {
		s.Hasten() // it may just not have noticed yet
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.promised.deciding {
		return false // a plan is carried out that knows nothing of it
	}
	e.promised.until[node] = max(e.promised.until[node], e.now().Add(d+c.Margin))
	return true
}

// decide is called before a plan is made: from then on nothing is promised, until what
// it returns is called. It says until when each node is to be left what it has.
func (e *Engine) decide() (map[string]clock.Time, func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.promised.deciding = true
	return e.promised.of(e.Cluster(), e.now()), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.promised.deciding = false
	}
}

func (e *Engine) now() clock.Time { return e.Store.Time().Now() }

// of is until when each node is to be left what it has. For as long as a former daemon
// may have promised, it is all of them.
func (p *promises) of(c *resources.Cluster, now clock.Time) map[string]clock.Time {
	until := map[string]clock.Time{}
	for _, n := range c.Nodes {
		at := p.until[n.Name]
		if c.OnQuorumLoss == resources.HoldIfAllPeersAgree {
			at = max(at, p.began.Add(max(c.Lease, p.lease)+c.Margin))
		}
		if now.Before(at) {
			until[n.Name] = at
		}
	}
	return until
}
