// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/promise"
)

func temp(t *testing.T) (path string, l *ledger.Ledger) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ledger")
	l, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

func records[T ledger.Record](t *testing.T, path string) (all []T) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Read(bytes.NewReader(b), func(r T) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func user(name string) account.Account {
	return account.Account{Name: name, Password: "secret of " + name}
}

func plan() promise.Plan {
	return promise.Plan{
		Run: "r", Rate: 2000, Sessions: 1, PerSession: 1, Messages: 1, Retry: 10 * time.Millisecond, Grace: 10 * time.Second,
		ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second,
	}
}

// The first session is broken at each stage in each way; the second attempt always succeeds.
func TestAppendOutcomes(t *testing.T) {
	const (
		cut       = "cut"
		announced = "announced"
		failed    = "failed"
		late      = "late"
		goesOn    = ""
		bye       = "* BYE Server shutting down.\r\n"
		no        = "TAG NO [UNAVAILABLE] later\r\n"
	)
	for _, tt := range []struct {
		double.Reaction
		first ledger.Outcome
		ended string
	}{
		{double.Reaction{Stage: "none"}, ledger.Accepted, goesOn},
		{double.Reaction{Stage: "greeting", End: "close"}, ledger.Refused, failed},
		{double.Reaction{Stage: "greeting", Say: bye, End: "close"}, ledger.Refused, failed},
		{double.Reaction{Stage: "greeting", Say: "hello\r\n"}, ledger.Refused, failed},
		{double.Reaction{Stage: "greeting", End: "silence"}, ledger.Refused, late},
		{double.Reaction{Stage: "LOGIN", Say: no}, ledger.Refused, goesOn},
		{double.Reaction{Stage: "LOGIN", Say: bye, End: "close"}, ledger.Refused, announced},
		{double.Reaction{Stage: "LOGIN", End: "reset"}, ledger.Refused, cut},
		{double.Reaction{Stage: "LOGIN", Say: "other OK\r\n"}, ledger.Refused, cut},
		{double.Reaction{Stage: "APPEND", Say: no}, ledger.Refused, goesOn},
		{double.Reaction{Stage: "APPEND", Say: bye, End: "close"}, ledger.Refused, announced},
		{double.Reaction{Stage: "APPEND", End: "close"}, ledger.Refused, cut},
		{double.Reaction{Stage: "APPEND", End: "silence"}, ledger.Refused, cut},
		{double.Reaction{Stage: "literal", Say: no}, ledger.Refused, goesOn},
		{double.Reaction{Stage: "literal", Say: "TAG BAD what\r\n"}, ledger.Refused, goesOn},
		{double.Reaction{Stage: "literal", End: "close"}, ledger.Ambiguous, cut},
		{double.Reaction{Stage: "literal", End: "reset"}, ledger.Ambiguous, cut},
		{double.Reaction{Stage: "literal", End: "silence"}, ledger.Ambiguous, cut},
		{double.Reaction{Stage: "literal", Say: "TAG OK sto", End: "close"}, ledger.Ambiguous, cut},
		{double.Reaction{Stage: "literal", Say: "+ more\r\n"}, ledger.Ambiguous, cut},
		{double.Reaction{Stage: "literal", Say: bye, End: "close"}, ledger.Ambiguous, announced},
		{double.Reaction{Stage: "literal", Say: "* 5 EXISTS\r\nTAG OK stored\r\n"}, ledger.Accepted, goesOn},
		{double.Reaction{Stage: "LOGOUT", End: "reset"}, ledger.Accepted, goesOn},
	} {
		t.Run(tt.Stage+"/"+tt.End+"/"+strings.TrimSpace(tt.Say), func(t *testing.T) {
			t.Parallel()
			d := double.StartIMAP(t, tt.Reaction)
			cfg := AppendConfig{To: d.Addr, Mailbox: "INBOX", Plan: plan()}
			if tt.End == "silence" {
				cfg.ReplyTimeout = 2 * time.Second // long enough for the replies that do come
			}
			path, file := temp(t)
			l := newAppend(cfg, []account.Account{user("a"), user("b")}, file)
			if err := l.Run(within(t, 20*time.Second)); err != nil {
				t.Fatal(err)
			}
			want := promise.Counts{Accepted: 1, Sessions: 2}
			outcomes := []ledger.Outcome{tt.first, ledger.Accepted}
			switch tt.first {
			case ledger.Refused:
				want.Refused = 1
			case ledger.Ambiguous:
				want.Ambiguous = 1
			case ledger.Accepted:
				outcomes, want.Sessions = outcomes[:1], 1
			}
			switch tt.ended {
			case cut:
				want.Cut = 1
			case announced:
				want.Announced = 1
			case failed:
				want.ConnectFailed, want.Sessions = 1, 1
			case late:
				want.ConnectTimeout, want.Sessions = 1, 1
			}
			if diff := cmp.Diff(want, l.Counts()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			var seen []ledger.Outcome
			for _, r := range records[ledger.Attempt](t, path) {
				seen = append(seen, r.Outcome)
			}
			if diff := cmp.Diff(outcomes, seen); diff != "" {
				t.Errorf("outcomes: -want +got\n%s", diff)
			}
		})
	}
}

// A server that ends an idle session is heard, and one that only tells news is not taken for ended.
func TestAppendIdleSession(t *testing.T) {
	for _, tt := range []struct {
		double.Reaction
		sessions int
	}{
		{double.Reaction{Stage: "idle", Say: "* BYE idle too long\r\n", End: "close"}, 2},
		{double.Reaction{Stage: "idle", End: "reset"}, 2},
		{double.Reaction{Stage: "idle", Say: "* OK Still here\r\n"}, 1},
	} {
		d := double.StartIMAP(t, tt.Reaction)
		cfg := AppendConfig{To: d.Addr, Mailbox: "INBOX", Plan: plan()}
		cfg.Messages, cfg.PerSession, cfg.Rate = 2, 2, 0.5 // the end is seen before the second one is due
		_, file := temp(t)
		l := newAppend(cfg, []account.Account{user("a")}, file)
		if err := l.Run(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if c := l.Counts(); c.Accepted != 2 || c.Sessions != tt.sessions || d.Messages() != 2 {
			t.Errorf("%+v: %+v", tt.Reaction, c)
		}
	}
}
