// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
	"github.com/mailha/mailha/vip"
)

// result is how an operation or a watch over a resource ended.
type result struct {
	m     *member
	turn  int
	doing doing
	err   error
	cut   bool   // it was not waited for
	note  string // of a watch that goes on: what is not well; empty: it is well again
	noted bool
}

// begin runs an operation beside the loop.
func (t *tenure) begin(ctx context.Context, m *member, what doing) {
	ctx, cancel := context.WithCancel(ctx)
	detail := ""
	if what == stopping && m.condition == stuck {
		detail = m.detail // until it is proved
	}
	first := m.began.IsZero()
	m.enter(working, detail)
	m.cancel, m.doing, m.began = cancel, what, m.since
	p := m.part
	if what == starting && first && t.freed {
		p.driver = p.freed()
	}
	turn, epoch, timeout := m.turn, t.epoch, m.resource.StopTimeout
	if t.hurry > 0 {
		timeout = min(timeout, t.hurry)
	}
	if what == starting && len(m.failures) > 0 {
		t.meter.Restarted(m.resource.Name)
	}
	t.ops.Go(func() {
		defer cancel()
		var err error
		switch what {
		case starting:
			defer context.AfterFunc(t.lease, cancel)()
			err = p.bring(ctx, epoch)
		case reloading:
			err = p.reload(ctx, epoch)
		default:
			err = p.quit(ctx, timeout)
		}
		t.results.put(result{m: m, turn: turn, doing: what, err: err, cut: ctx.Err() != nil})
	})
}

func (t *tenure) hear(ctx context.Context, r result) {
	m := r.m
	if r.turn != m.turn {
		return // of something that was ended since
	}
	log := t.log.With("resource", m.resource.Name, "epoch", t.epoch)
	switch r.doing {
	case starting:
		t.hearStart(m, r, log)
	case stopping:
		if r.err == nil {
			t.meter.Stopped(m.resource.Name, time.Since(m.began))
			m.fallen()
			break
		}
		pause := 2 * time.Second
		if t.hurry > 0 {
			pause = 200 * time.Millisecond
		}
		m.enter(stuck, r.err.Error())
		if !r.cut {
			m.again = time.Now().Add(pause)
			log.Error("stop failed", "error", r.err)
		}
	case reloading:
		if r.err == nil {
			m.enter(up, "")
			break
		}
		t.judge(m, r.err, log)
	case watching:
		if r.noted {
			if m.degraded = r.note != ""; m.degraded && m.detail != r.note {
				log.Warn("it is not well", "note", r.note)
			}
			m.detail = r.note
			break
		}
		t.judge(m, r.err, log)
	}
}

func (t *tenure) hearStart(m *member, r result, log *slog.Logger) {
	epoch := (*agents.EpochError)(nil)
	if !m.renew {
		m.restarted = m.serial
	}
	switch {
	case r.err == nil:
		m.enter(up, "")
	case r.cut:
		m.enter(ailing, r.err.Error())
	case errors.As(r.err, &epoch):
		log.Warn("the data are marked with a greater epoch than the cluster counts: they came from elsewhere, or the cluster's state is an old one", "error", r.err)
		m.enter(ailing, r.err.Error())
		m.floor = epoch.Marked + 1
		t.tell(news{t: t, marked: epoch.Marked})
	default:
		log.Error("start failed", "error", r.err)
		m.enter(ailing, r.err.Error())
		t.failure(m, r.err, true) // as a rule another try would fail as well, and costs clients the whole timeout
	}
}

// judge deals with a resource that was found failed.
func (t *tenure) judge(m *member, err error, log *slog.Logger) {
	if absent(err) && !t.valid() {
		// The kernel lets addresses go shortly before the lease ends. Nothing has failed,
		// should it be renewed in its last moment.
		log.Warn("an address has gone just before the lease ends", "error", err)
		m.enter(ailing, err.Error())
		m.absent = true
		return
	}
	log.Error("it has failed", "error", err)
	m.enter(ailing, err.Error())
	t.failure(m, err, m.resource.OnFailure == resources.OnFailureMove)
	m.absent = absent(err)
}

// absent says whether an address is gone, and no more is known to be wrong.
func absent(err error) bool {
	return errors.Is(err, vip.ErrNotHeld) && !errors.Is(err, vip.ErrConflict)
}

// failure counts one. Whether the group goes elsewhere is not for the tenure to say:
// until it is told to end, it tries again here as often as the threshold allows.
func (t *tenure) failure(m *member, err error, fatal bool) {
	t.failures++
	m.failures = append(m.failures, time.Now())
	n := m.recent(t.window)
	fatal = fatal || m.resource.OnFailure == resources.OnFailureStop
	if fatal || n >= max(1, m.resource.Threshold) {
		t.given[m.resource.Name] = t.failures // until a plan says otherwise
	}
	t.tell(news{t: t, failure: &failure{m.resource.Name, t.failures, fatal, time.Now(), err}})
}
