// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/resources"
)

// papers is the certificate by which this node's etcd and the others' know one another. It
// is looked at twice a day, and made anew long before it ends. Whoever reads it reads the
// file at each connection, so that nothing has to start anew.
type papers struct {
	cluster *resources.Cluster
	node    resources.Node
	renew   func(ctx context.Context, c *resources.Cluster, n resources.Node, now time.Time) (bool, time.Time, error)
	log     *slog.Logger

	ends atomic.Int64 // Unix seconds; 0: not known
}

func newPapers(c *resources.Cluster, n resources.Node, log *slog.Logger) *papers {
	return &papers{cluster: c, node: n, renew: enrol.Renew, log: log}
}

// end is when the certificate ends; false: it is not known, or none of mailha's.
func (p *papers) end() (time.Time, bool) {
	at := p.ends.Load()
	return time.Unix(at, 0), at != 0
}

// keep looks after the certificate until ctx ends.
func (p *papers) keep(ctx context.Context) {
	if p.cluster.Etcd.External() {
		return // whose certificates are the operator's
	}
	const often, again = 12 * time.Hour, time.Hour
	for {
		wait := often
		if !p.look(ctx) {
			wait = again
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (p *papers) look(ctx context.Context) (ok bool) {
	renewed, end, err := p.renew(ctx, p.cluster, p.node, time.Now())
	if !end.IsZero() {
		p.ends.Store(end.Unix())
	}
	switch {
	case err != nil && ctx.Err() == nil:
		p.log.Error("the certificate of this node could not be renewed", "ends", end.Format(time.DateOnly), "error", err)
	case renewed:
		p.log.Info("the certificate of this node was renewed", "ends", end.Format(time.DateOnly))
	}
	return err == nil
}
