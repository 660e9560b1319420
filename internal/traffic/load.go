// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// LoadCounts tells what a load has done so far. It is its progress line and its summary.
type LoadCounts = promise.Counts

// newLoad makes a load that sends messages until it is told to stop, then goes on with those refused until all are
// accepted or the grace is over.
func newLoad(cfg LoadConfig, l *ledger.Ledger) *promise.Load[smtp.Reply] {
	env := letter.Envelope{Run: cfg.Run, From: cfg.From, Rcpts: cfg.Rcpts, Domain: cfg.RcptDomain, Seed: cfg.Seed}
	dialer := smtp.Dialer{To: cfg.To, ConnectTimeout: cfg.ConnectTimeout, ReplyTimeout: cfg.ReplyTimeout}
	return &promise.Load[smtp.Reply]{
		Plan: promise.Plan{
			Rate: cfg.Rate, Sessions: cfg.Sessions, PerSession: cfg.PerSession, Messages: cfg.Messages, Grace: cfg.Grace, Retry: cfg.Retry,
		},
		Ledger:  l,
		Message: env.Message,
		Open: func(ctx context.Context) (promise.Session[smtp.Reply], error) {
			s, err := dialer.Open(ctx)
			if err != nil {
				return nil, err
			}
			return loadSession{s, cfg}, nil
		},
	}
}

// loadSession is one session of the load.
type loadSession struct {
	*smtp.Session
	cfg LoadConfig
}

// Hello says EHLO.
func (s loadSession) Hello(ctx context.Context) (refusal string, err error) {
	r, err := s.Command(ctx, "EHLO %s", s.cfg.Helo)
	if err == nil && r.Code != 250 {
		refusal = "EHLO: " + r.String()
	}
	return refusal, err
}

// Send makes one attempt to have a message taken.
func (s loadSession) Send(ctx context.Context, m letter.Message) (ledger.Outcome, string, error) {
	return s.Session.Send(ctx, s.cfg.From, m)
}
