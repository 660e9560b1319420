// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"context"
	"sync/atomic"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// StartAppend starts a process that stores messages.
func StartAppend(ctx context.Context, run tool.Command, cfg AppendConfig) (tool.Running[promise.Counts], error) {
	return tool.StartRunning[promise.Counts](ctx, run, &cfg, "imap-append")
}

// Append is the subcommand.
func Append(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg AppendConfig
	if err := t.Parse(&cfg, "imap-append", args); err != nil {
		return err
	}
	users, err := account.Read(cfg.Users)
	if err != nil {
		return err
	}
	file, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer file.Close()
	l := newAppend(cfg, users, file)
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return l.Counts() }, l.Run)
}

func newAppend(cfg AppendConfig, users []account.Account, l *ledger.Ledger) *promise.Load[Response] {
	env := letter.Envelope{Run: cfg.Run, From: "append@load.test", Domain: "load.test", Seed: cfg.Seed}
	dialer := Dialer{To: cfg.To, ConnectTimeout: cfg.ConnectTimeout, ReplyTimeout: cfg.ReplyTimeout}
	var opened atomic.Int64
	return &promise.Load[Response]{
		Plan: cfg.Plan, Ledger: l, Message: env.Message,
		Open: func(ctx context.Context) (promise.Session[Response], error) {
			s, err := dialer.Open(ctx)
			if err != nil {
				return nil, err
			}
			user := users[(opened.Add(1)-1)%int64(len(users))]
			return appendSession{s, user, cfg.Mailbox}, nil
		},
	}
}

// appendSession is one session of the appender.
type appendSession struct {
	*Session
	user    account.Account
	mailbox string
}

// Hello logs in.
func (s appendSession) Hello(ctx context.Context) (refusal string, err error) {
	return s.Login(ctx, s.user.Name, s.user.Password)
}

// Send stores a message.
func (s appendSession) Send(ctx context.Context, m letter.Message) (ledger.Outcome, string, error) {
	return s.Append(ctx, s.mailbox, m.Data)
}
