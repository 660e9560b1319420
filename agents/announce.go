// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"log/slog"
	"time"

	"github.com/mailha/mailha/vip"
)

// Announce sends one burst and says in the log what came of it. It never fails
// a start: the addresses are held, and the bursts that monitors send follow.
func Announce(ctx context.Context, set *vip.Set, log *slog.Logger) {
	sent, err := set.Announce(ctx, vip.Burst{})
	if err != nil {
		log.Warn("not every address could be announced", "error", err)
	}
	for _, a := range sent {
		if a.Gateway.IsValid() && !a.Proved {
			log.Warn("the router did not answer to the address; it may not know its new place",
				"address", a.Addr, "interface", a.Interface, "router", a.Gateway)
		}
	}
}

func (s *Service) announce(ctx context.Context, set *vip.Set, rec *record) {
	if set != nil {
		Announce(ctx, set, s.log)
		rec.Announced = time.Now()
	}
}

// refresh sends the burst that is due, if one is. Monitors do it because no
// process of ours outlives an operation, and because they never overlap a stop:
// an announcement after a release would take the address from the next node.
func (s *Service) refresh(ctx context.Context, set *vip.Set, rec record) {
	if set == nil || !s.Addresses.schedule(s.env.Instance).Due(time.Now(), rec.Started, rec.Announced) {
		return
	}
	s.announce(ctx, set, &rec)
	if err := s.records().save(rec); err != nil {
		s.log.Warn("announced, but could not note it", "error", err)
	}
}

// schedule treats a refresh interval of 0 as "never".
func (a *Addresses) schedule(owner string) vip.Schedule {
	refresh := time.Duration(a.Refresh)
	if refresh == 0 {
		refresh = -1
	}
	return vip.Schedule{Refresh: refresh, Owner: owner}
}
