// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/vip"
)

// valid is for how long from now addresses may be held if nothing more is heard from
// the cluster.
func (e *Engine) valid() time.Duration { return e.remaining(e.Session()) }

func (e *Engine) remaining(session *state.Session) time.Duration {
	if session == nil || !session.Valid() {
		return 0
	}
	return session.Deadline().Sub(e.Store.Time().Now()) - vip.Lateness
}

// firm says whether the lease lasts for long enough that addresses may be put up, or missed:
// the kernel counts in seconds, and takes them away in the last one before the end.
func (e *Engine) firm(session *state.Session) bool {
	const part = 5 // of a short lease, of which the last second may be half
	return e.remaining(session) >= min(time.Second, e.Cluster().Lease/part)
}

// extend keeps the kernel from removing the addresses for as long as the lease lasts.
// When this process stands still the kernel goes on to count, and lets them go before
// anybody else may take them.
func (e *Engine) extend(ctx context.Context, session *state.Session) {
	if e.Extend == nil {
		return
	}
	// Often enough for a renewal to be of use soon; the kernel counts in seconds.
	lease := e.Cluster().Lease
	tick := time.NewTicker(min(max(lease/12, 100*time.Millisecond), time.Second))
	defer tick.Stop()
	said := ""
	for {
		try, cancel := context.WithTimeout(ctx, lease/3)
		err := e.Extend(try, e.remaining(session))
		cancel()
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			e.Log.Error("the kernel was not told how long addresses may stay: should mailhad hang they may end early, or stay too long", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-session.Lost():
			return
		case <-tick.C:
		}
	}
}
