// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
)

func testReader(t *testing.T, addr string, users ...account.Account) (r *reader, file string) {
	file, l := temp(t)
	cfg := ReadConfig{To: addr, Mailbox: "INBOX", Interval: 10 * time.Millisecond, ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second}
	return &reader{cfg: cfg, users: users, ledger: l}, file
}

func numbered(seq int) letter.Message {
	return letter.Envelope{Run: "r", Domain: "d"}.Message(seq, time.Unix(0, 0))
}

// until waits for a count.
func (r *reader) until(t *testing.T, what string, ok func(ReadCounts) bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx := within(t, 10*time.Second)
	for !ok(r.snapshot()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s: %+v", what, r.snapshot())
		}
	}
}

// start reads until the test ends.
func (r *reader) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Whatever happens to its first session, the reader writes each message down once.
func TestReaderMissesNothing(t *testing.T) {
	for _, reaction := range []double.Reaction{
		{Stage: "none"},
		{Stage: "greeting", Say: "* BYE busy\r\n", End: "close"},
		{Stage: "LOGIN", Say: "TAG NO [UNAVAILABLE] directory\r\n"},
		{Stage: "EXAMINE", End: "reset"},
		{Stage: "FETCH", Say: "* 1 FETCH (UID 1 BODY[] {10}\r\nabc", End: "close"},
		{Stage: "idle", Say: "* BYE Server shutting down.\r\n", End: "close"},
		{Stage: "idle", Say: "* 7 EXISTS\r\n"},
	} {
		t.Run(reaction.Stage+reaction.End, func(t *testing.T) {
			t.Parallel()
			d := double.StartIMAP(t, reaction)
			d.Deliver("a", string(numbered(0).Data))
			d.Deliver("a", "From: x\r\n\r\nno number\r\n")
			r, file := testReader(t, d.Addr, user("a"), user("b"))
			r.start(t)
			r.until(t, "both mailboxes were read", func(c ReadCounts) bool { return c.Complete == 2 && c.Messages == 2 })
			d.Deliver("b", string(numbered(1).Data))
			d.Deliver("a", string(numbered(2).Data))
			d.Deliver("a", string(numbered(2).Data))
			r.until(t, "the rest was read", func(c ReadCounts) bool { return c.Messages == 5 && c.Duplicates == 1 })
			got := map[string]int{}
			for _, rec := range records[ledger.Arrival](t, file) {
				got[rec.ID]++
				if rec.ID != "" && rec.Hash != numbered(int(rec.ID[2]-'0')).Hash {
					t.Errorf("%+v: another hash", rec)
				}
			}
			if got["r/0"] != 1 || got["r/1"] != 1 || got["r/2"] != 2 || got[""] != 1 {
				t.Errorf("recorded %v", got)
			}
		})
	}
}

// A mailbox whose UIDs are new is read again, and not written down again.
func TestReaderAfterRenewal(t *testing.T) {
	d := double.StartIMAP(t, double.Reaction{})
	d.Deliver("a", string(numbered(0).Data))
	d.Deliver("a", string(numbered(1).Data))
	r, _ := testReader(t, d.Addr, user("a"))
	r.start(t)
	r.until(t, "all was read", func(c ReadCounts) bool { return c.Messages == 2 })
	d.Renew()
	d.Deliver("a", string(numbered(0).Data))
	d.Cut()
	r.until(t, "the copy was read", func(c ReadCounts) bool { return c.Renewed == 1 && c.Duplicates == 1 })
	if c := r.snapshot(); c.Messages != 3 {
		t.Errorf("%+v, want the two messages and the copy", c)
	}
}

func TestReadOnce(t *testing.T) {
	d := double.StartIMAP(t, double.Reaction{Stage: "FETCH", End: "close"})
	d.Deliver("a", string(numbered(0).Data))
	r, _ := testReader(t, d.Addr, user("a"), user("b"))
	r.cfg.Once = true
	if err := r.run(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if c := r.snapshot(); c.Messages != 1 || c.Complete != 2 || c.Endings[ending.EOF] != 1 || d.Quits() != 2 {
		t.Errorf("%+v, %d sessions ended politely", c, d.Quits())
	}
}

func TestReadOnceSaysWhatItDidNotRead(t *testing.T) {
	d := double.StartIMAP(t, double.Reaction{})
	r, _ := testReader(t, d.Addr, user("a"), account.Account{Name: "b", Password: "wrong"})
	r.cfg.Once = true
	if err := r.run(within(t, time.Second)); !errors.Is(err, errIncomplete) || r.snapshot().Refused == 0 {
		t.Errorf("%v, %+v", err, r.snapshot())
	}
}

func TestReaderFailsWithItsLedger(t *testing.T) {
	d := double.StartIMAP(t, double.Reaction{})
	d.Deliver("a", "x")
	r, _ := testReader(t, d.Addr, user("a"))
	r.ledger.Close()
	if err := r.run(within(t, 10*time.Second)); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestIdle(t *testing.T) {
	d := double.StartIMAP(t, double.Reaction{})
	ctx := within(t, 10*time.Second)
	s, err := Dialer{To: d.Addr, ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second}.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if refusal, err := s.Login(ctx, "a", "secret of a"); refusal != "" || err != nil {
		t.Fatal(refusal, err)
	}
	if refusal, err := s.Idle(ctx); refusal != "" || err != nil {
		t.Fatal(refusal, err)
	}
	if err := s.Done(ctx); err != nil {
		t.Fatal(err)
	}
	s.Quit(ctx)
	if d.Quits() != 1 {
		t.Error("the session did not go on after IDLE")
	}
}
