// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/failover"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// pulse is this node's heart, and what it is told of the cluster.
type pulse struct {
	*heartbeat.Heart
	public ed25519.PublicKey
	engine *failover.Engine // set before it beats
}

// newPulse makes a heart with a key of its own, which lives as long as this process.
func newPulse(c *resources.Cluster, node string, log *slog.Logger) (*pulse, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for heartbeats: %w", err)
	}
	p := &pulse{public: public}
	p.Heart, err = heartbeat.New(heartbeat.Config{
		Cluster: c.Name, Node: node, Key: private, Port: c.Heartbeat.Port, Timing: timing(c), Promise: c.Lease, Log: log,
		Agree: func(node string) bool { return p.engine.Agree(node, c.Lease) },
	})
	return p, err
}

func timing(c *resources.Cluster) heartbeat.Timing {
	return heartbeat.Timing{Interval: c.Heartbeat.Interval, Suspect: c.Heartbeat.Suspect, SuspectMax: c.Heartbeat.SuspectMax}
}

// beat keeps the heart beating, and tells it who is in the cluster, until ctx ends.
func (p *pulse) beat(ctx context.Context, feed *api.Feed, log *slog.Logger) {
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	defer func() { <-done }()
	const look = 50 * time.Millisecond // whether etcd has fallen silent, which nobody tells
	tick := time.NewTicker(look)
	defer tick.Stop()
	r := roster{public: p.public}
	var seen <-chan struct{}
	for {
		c, session := p.engine.Cluster(), p.engine.Session()
		p.Ask(c.OnQuorumLoss == resources.HoldIfAllPeersAgree && session != nil && session.Silent())
		snapshot, newer := feed.Latest()
		if nodes, changed := r.update(c, snapshot, session, newer != seen); changed {
			seen = newer
			if err := p.Follow(nodes); err != nil {
				log.Error("heartbeats go on as they were", "error", err)
			}
			if err := p.Tune(timing(c)); err != nil {
				log.Error("heartbeats keep their times", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-newer:
		case <-tick.C:
		}
	}
}

// roster is who is in the cluster, as the heart is told.
type roster struct {
	self    string
	public  ed25519.PublicKey
	cluster *resources.Cluster
	// life is this node's latest. It beats in it also when it has lost its lease, and is
	// stopping what it had: it is not dead.
	life state.SessionID
}

// update says who is in the cluster, and whether that may have changed.
func (r *roster) update(c *resources.Cluster, s state.Snapshot, own *state.Session, news bool) ([]heartbeat.Node, bool) {
	life := r.life
	if own != nil {
		r.self, life = own.Node().Name, own.Node().Session
	}
	if !news && life == r.life && c == r.cluster {
		return nil, false
	}
	r.cluster, r.life = c, life
	var nodes []heartbeat.Node
	for _, n := range c.Nodes {
		node := heartbeat.Node{Name: n.Name, Addresses: n.Addresses}
		if n.Name == r.self {
			node.Life, node.Key = uint64(life), r.public
		} else if is, present := s.Nodes[n.Name]; present && len(is.Key) == ed25519.PublicKeySize {
			node.Life, node.Key = uint64(is.Session), ed25519.PublicKey(is.Key)
		}
		nodes = append(nodes, node)
	}
	return nodes, true
}

// agreed is until when all others have promised to take nothing of this node's.
func (p *pulse) agreed() clock.Time {
	if p.engine.Cluster().OnQuorumLoss != resources.HoldIfAllPeersAgree {
		return 0
	}
	return p.HeldUntil()
}
