// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"io"
	"log/slog"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/journal"
)

// newText writes lines without a time: the cluster manager's log adds one.
func newText(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		},
	})
}

// journal keeps what a cluster manager throws away: all that an agent says when
// nothing failed. What a probe finds missing on a node is no news there.
func (p *Program) journal(t agents.Type, e environ) slog.Handler {
	level := slog.LevelInfo
	if e.action.probe() {
		level = slog.LevelWarn
	}
	return journal.New(p.Journal, level, journal.Origin{Resource: e.instance, Agent: t.Name, Action: e.action.name})
}

// outcome tells the journal how an action ended; standard error has the reason
// in the form that cluster managers read.
type outcome struct {
	log    *slog.Logger // nil before the action has begun
	action action
	began  time.Time
}

func (o outcome) failed(code Code, reason string) {
	if o.log == nil {
		return
	}
	o.log.Error(o.action.name+" failed", "took", o.took(), "exit_code", int(code), "reason", reason)
}

// succeeded says nothing of what only looked.
func (o outcome) succeeded() {
	switch o.action.name {
	case "start", "stop", "promote", "demote", "reload-agent":
		o.log.Info(o.action.name+" done", "took", o.took())
	}
}

func (o outcome) took() time.Duration { return time.Since(o.began).Round(time.Millisecond) }
