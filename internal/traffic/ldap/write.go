// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// The writes of a run come in pairs: number 2K adds the entry cn=RUN-K, number 2K+1 adds a value to it. Each leaves a
// value "ID HASH" in this attribute, which the reader finds.
const mark = "description"

// StartWrite starts a process that writes entries.
func StartWrite(ctx context.Context, run tool.Command, cfg WriteConfig) (tool.Running[promise.Counts], error) {
	return tool.StartRunning[promise.Counts](ctx, run, &cfg, "ldap-write")
}

// Write is the subcommand.
func Write(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg WriteConfig
	if err := t.Parse(&cfg, "ldap-write", args); err != nil {
		return err
	}
	password, err := cfg.Login.password()
	if err != nil {
		return err
	}
	file, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer file.Close()
	l := newWrite(cfg, password, file)
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return l.Counts() }, l.Run)
}

func newWrite(cfg WriteConfig, password string, l *ledger.Ledger) *promise.Load[Message] {
	dialer := Dialer{To: cfg.To, ConnectTimeout: cfg.ConnectTimeout, ReplyTimeout: cfg.ReplyTimeout}
	return &promise.Load[Message]{
		Plan: cfg.Plan, Ledger: l,
		Message: func(seq int, _ time.Time) letter.Message {
			id := letter.ID(cfg.Run, seq)
			return letter.Message{ID: id, Rcpt: entryDN(cfg.Run, cfg.Base, seq), Hash: letter.Hash(fmt.Appendf(nil, "%s %d", id, cfg.Seed))}
		},
		Open: func(ctx context.Context) (promise.Session[Message], error) {
			s, err := dialer.Open(ctx)
			if err != nil {
				return nil, err
			}
			return writeSession{s, cfg.DN, password}, nil
		},
	}
}

func entryDN(run, base string, seq int) string { return fmt.Sprintf("cn=%s-%d,%s", run, seq/2, base) }

// writeSession is one session of the writer.
type writeSession struct {
	*Session
	dn, password string
}

// Hello binds.
func (s writeSession) Hello(ctx context.Context) (refusal string, err error) {
	return s.Bind(ctx, s.dn, s.password)
}

// Send makes the entry of a message's number, or adds to it. An entry that is not there yet refuses the addition, which
// then comes again later.
func (s writeSession) Send(ctx context.Context, m letter.Message) (ledger.Outcome, string, error) {
	value := Attribute{mark, []string{m.ID + " " + m.Hash}}
	if second(m.ID) {
		return s.AddValues(ctx, m.Rcpt, value)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(m.Rcpt, "cn="), ",")
	return s.Add(ctx, m.Rcpt, Attribute{"objectClass", []string{"device"}}, Attribute{"cn", []string{name}}, value)
}

// second tells an odd number from an even one.
func second(id string) bool { return strings.ContainsAny(id[len(id)-1:], "13579") }
