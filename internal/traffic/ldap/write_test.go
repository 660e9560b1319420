// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/promise"
)

const base = "ou=ledger,dc=test"

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

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func testWrite(to string) WriteConfig {
	return WriteConfig{To: to, Base: base, Login: Login{DN: "cn=w"}, Plan: promise.Plan{
		Run: "r", Rate: 2000, Sessions: 1, PerSession: 1, Messages: 1, Retry: 10 * time.Millisecond, Grace: 10 * time.Second,
		ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second,
	}}
}

// The first session is broken at each stage in each way; a later attempt always succeeds.
func TestWriteOutcomes(t *testing.T) {
	const busy, none = 51, -1
	for _, tt := range []struct {
		stage, end string
		code       int64
		notice     bool
		first      ledger.Outcome
		want       promise.Counts
	}{
		{"none", "", 0, false, ledger.Accepted, promise.Counts{Sessions: 1}},
		{"bind", "", busy, false, ledger.Refused, promise.Counts{Sessions: 2}},
		{"bind", "close", none, false, ledger.Refused, promise.Counts{Sessions: 2, Cut: 1}},
		{"bind", "silence", none, false, ledger.Refused, promise.Counts{Sessions: 2, Cut: 1}},
		{"bind", "close", none, true, ledger.Refused, promise.Counts{Sessions: 2, Announced: 1}},
		{"add", "", busy, false, ledger.Refused, promise.Counts{Sessions: 2}},
		{"add", "", 68, false, ledger.Accepted, promise.Counts{Sessions: 1}},
		{"add", "close", none, false, ledger.Ambiguous, promise.Counts{Sessions: 2, Cut: 1}},
		{"add", "reset", none, false, ledger.Ambiguous, promise.Counts{Sessions: 2, Cut: 1}},
		{"add", "silence", none, false, ledger.Ambiguous, promise.Counts{Sessions: 2, Cut: 1}},
		{"add", "close", none, true, ledger.Ambiguous, promise.Counts{Sessions: 2, Announced: 1}},
	} {
		t.Run(tt.stage+tt.end, func(t *testing.T) {
			t.Parallel()
			d := double.StartLDAP(t, double.Reaction{Stage: tt.stage, End: tt.end}, tt.code, tt.notice)
			cfg := testWrite(d.Addr)
			if tt.end == "silence" {
				cfg.ReplyTimeout = 2 * time.Second // long enough for the replies that do come
			}
			_, file := temp(t)
			l := newWrite(cfg, "secret", file)
			if err := l.Run(within(t, 20*time.Second)); err != nil {
				t.Fatal(err)
			}
			tt.want.Accepted = 1
			switch tt.first {
			case ledger.Refused:
				tt.want.Refused = 1
			case ledger.Ambiguous:
				tt.want.Ambiguous = 1
			}
			if diff := cmp.Diff(tt.want, l.Counts()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestWriteIdleSession(t *testing.T) {
	for _, notice := range []bool{true, false} {
		d := double.StartLDAP(t, double.Reaction{Stage: "idle", End: "close"}, -1, notice)
		cfg := testWrite(d.Addr)
		cfg.Messages, cfg.PerSession, cfg.Rate = 2, 2, 0.5 // the end is seen before the second one is due
		_, file := temp(t)
		l := newWrite(cfg, "secret", file)
		if err := l.Run(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if c := l.Counts(); c.Accepted != 2 || c.Announced+c.Cut != 1 || notice != (c.Announced == 1) {
			t.Errorf("notice %t: %+v", notice, c)
		}
	}
}

// read reads everything that the directory has.
func read(t *testing.T, addr string) (file string, c ReadCounts) {
	t.Helper()
	file, l := temp(t)
	r := &reader{cfg: ReadConfig{To: addr, Base: base, Login: Login{DN: "cn=w"}, ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second}, password: "secret"}
	if err := r.run(within(t, 10*time.Second), l); err != nil {
		t.Fatal(err)
	}
	return file, r.snapshot()
}

// What was accepted is found, and what the directory forgot is not.
func TestProof(t *testing.T) {
	d := double.StartLDAP(t, double.Reaction{Stage: "modify", End: "close"}, -1, false)
	cfg := testWrite(d.Addr)
	cfg.Messages, cfg.Sessions, cfg.PerSession = 101, 1, 5 // one session, or the first might be one that modifies nothing
	written, file := temp(t)
	l := newWrite(cfg, "secret", file)
	if err := l.Run(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	found, c := read(t, d.Addr)
	if c.Entries != 51 || c.Writes != 101 {
		t.Errorf("found %+v", c)
	}
	res, err := ledger.AuditFiles(written, found)
	if err != nil || !res.OK() || res.Delivered != 101 || res.Duplicated != 0 || res.Ambiguous != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	d.Forget("cn=r-7," + base)
	found, _ = read(t, d.Addr)
	if res, err = ledger.AuditFiles(written, found); err != nil || res.Lost != 2 || strings.Join(res.LostIDs, " ") != "r/14 r/15" {
		t.Errorf("a lost entry was found to be %+v, %v", res, err)
	}
}

func TestReadTriesAgain(t *testing.T) {
	d := double.StartLDAP(t, double.Reaction{Stage: "search", End: "reset"}, -1, false)
	if _, c := read(t, d.Addr); c.Endings[ending.Reset] != 1 {
		t.Errorf("%+v", c)
	}
	d = double.StartLDAP(t, double.Reaction{Stage: "search"}, 52, false)
	if _, c := read(t, d.Addr); c.Refused != 1 {
		t.Errorf("%+v", c)
	}
}

func TestReadSaysWhatItDidNotRead(t *testing.T) {
	d := double.StartLDAP(t, double.Reaction{}, -1, false)
	r := &reader{cfg: ReadConfig{To: d.Addr, Base: base, Login: Login{DN: "cn=w"}, ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second}, password: "wrong"}
	_, l := temp(t)
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.run(ctx, l) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.snapshot().Refused == 0 && ctx.Err() == nil {
		<-tick.C
	}
	cancel()
	if err := <-done; !errors.Is(err, errRefused) {
		t.Error(err)
	}
}

func TestRootDSE(t *testing.T) {
	for _, tt := range []struct {
		reaction double.Reaction
		code     int64
		ready    bool
		broken   bool
	}{
		{double.Reaction{}, 0, true, false},
		{double.Reaction{Stage: "search"}, 51, false, false},
		{double.Reaction{Stage: "search", End: "close"}, -1, false, true},
	} {
		d := double.StartLDAP(t, tt.reaction, tt.code, false)
		conn, err := net.Dial("tcp", d.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		refusal, err := RootDSE(conn)
		if (refusal == "" && err == nil) != tt.ready || (err != nil) != tt.broken {
			t.Errorf("%+v: %q, %v", tt.reaction, refusal, err)
		}
		if _, err := conn.Write(Unbind()); err != nil && tt.ready {
			t.Error(err)
		}
	}
}

func TestPasswordsComeFromTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(path, []byte("writer:se:cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := (&Login{DN: "cn=w", Passwords: path, Account: "writer"}).password()
	if err != nil || got != "se:cret" {
		t.Errorf("%q, %v", got, err)
	}
}
