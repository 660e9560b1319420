// SPDX-License-Identifier: Apache-2.0

package hold

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
)

// stage has servers of all three protocols.
type stage struct {
	imap *double.IMAP
	smtp *double.SMTP
	ldap *double.LDAP
	cfg  Config
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{
		imap: double.StartIMAP(t, double.Reaction{}),
		smtp: double.StartSMTP(t, double.Reaction{}),
		ldap: double.StartLDAP(t, double.Reaction{}, -1, false),
	}
	users, accounts := filepath.Join(t.TempDir(), "users"), filepath.Join(t.TempDir(), "accounts")
	for path, text := range map[string]string{users: "a:secret of a\nb:secret of b\n", accounts: "writer:secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.cfg = Config{
		IMAP: s.imap.Addr, Users: users, Mailbox: "INBOX", SMTP: s.smtp.Addr, DataTimes: []time.Duration{time.Millisecond}, Rcpts: []string{"a@d", "b@d"},
		Run: "r", Ledger: filepath.Join(t.TempDir(), "ledger"), LDAP: s.ldap.Addr, Base: "ou=x", DN: "cn=w", Passwords: accounts, Account: "writer",
		Beat: 5 * time.Millisecond, ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second,
	}
	return s
}

// running is a holder that holds.
type running struct {
	*holder
	stop context.CancelFunc
	done chan error
}

// start returns when all sessions are open.
func (s *stage) start(t *testing.T) *running {
	t.Helper()
	if err := s.cfg.Check(); err != nil {
		t.Fatal(err)
	}
	h := &holder{cfg: s.cfg}
	if err := h.prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	held, err := h.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	r := &running{h, stop, make(chan error, 1)}
	go func() { r.done <- h.hold(ctx, held) }()
	return r
}

// ends waits until all sessions have ended.
func (r *running) ends(t *testing.T) Counts {
	t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("it goes on: %+v", r.snapshot())
	}
	return r.snapshot()
}

func (r *running) until(t *testing.T, what string, ok func(Counts) bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(10 * time.Second)
	for !ok(r.snapshot()) {
		if <-tick.C; time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %+v", what, r.snapshot())
		}
	}
}

// Sessions that nobody cuts are ended by us, politely, when it is time.
func TestHoldsUntilStopped(t *testing.T) {
	s := newStage(t)
	s.cfg.Idle, s.cfg.Active, s.cfg.Data, s.cfg.Writers = 3, 2, 4, 2
	r := s.start(t)
	r.until(t, "messages are finished and the others are at work", func(c Counts) bool {
		return c.Data.Finished == 4 && c.Active.Beats > 4 && c.Writers.Beats > 4
	})
	c := r.snapshot()
	if c.Idle.Held != 3 || c.Active.Held != 2 || c.Writers.Held != 2 || c.Data.Held != 0 {
		t.Errorf("%+v", c)
	}
	r.stop()
	c = r.ends(t)
	for _, k := range []Kind{c.Idle, c.Active, c.Data, c.Writers} {
		if k.Held != 0 || k.Cut() != 0 || len(k.Endings) != 0 || k.Refused != 0 {
			t.Errorf("%+v", c)
		}
	}
	if got := []int{s.imap.Quits(), s.smtp.Quits(), s.ldap.Quits(), s.smtp.Messages()}; got[0] != 5 || got[1] != 4 || got[2] != 2 || got[3] != 4 {
		t.Errorf("%v sessions ended politely", got)
	}
}

// What the server does to a session is told, and the session is not opened anew.
func TestEndings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(s *stage)
		kind  func(c Counts) Kind
		want  ending.Ending
	}{
		{"idle, BYE", func(s *stage) {
			s.imap, s.cfg.Idle = double.StartIMAP(t, double.Reaction{Stage: "IDLE", Say: "+ idling\r\n* BYE Server shutting down.\r\n", End: "close"}), 1
		}, func(c Counts) Kind { return c.Idle }, ending.Announced},
		{"idle, EOF", func(s *stage) {
			s.imap, s.cfg.Idle = double.StartIMAP(t, double.Reaction{Stage: "IDLE", Say: "+ idling\r\n", End: "close"}), 1
		}, func(c Counts) Kind { return c.Idle }, ending.EOF},
		{"active, reset", func(s *stage) {
			s.imap, s.cfg.Active = double.StartIMAP(t, double.Reaction{Stage: "NOOP", End: "reset"}), 1
		}, func(c Counts) Kind { return c.Active }, ending.Reset},
		{"active, silence", func(s *stage) {
			s.imap, s.cfg.Active = double.StartIMAP(t, double.Reaction{Stage: "NOOP", End: "silence"}), 1
			s.cfg.ReplyTimeout = 2 * time.Second // long enough for the replies that do come
		}, func(c Counts) Kind { return c.Active }, ending.Timeout},
		{"data, 421", func(s *stage) {
			s.smtp, s.cfg.Data = double.StartSMTP(t, double.Reaction{Stage: "body", Say: "421 4.3.2 shutting down\r\n", End: "close"}), 1
			s.cfg.DataTimes = []time.Duration{time.Hour}
		}, func(c Counts) Kind { return c.Data }, ending.Announced},
		{"data, EOF at the dot", func(s *stage) {
			s.smtp, s.cfg.Data = double.StartSMTP(t, double.Reaction{Stage: "dot", End: "close"}), 1
		}, func(c Counts) Kind { return c.Data }, ending.EOF},
		{"writer, notice", func(s *stage) {
			s.ldap, s.cfg.Writers = double.StartLDAP(t, double.Reaction{Stage: "modify", End: "close"}, -1, true), 1
		}, func(c Counts) Kind { return c.Writers }, ending.Announced},
		{"writer, EOF", func(s *stage) {
			s.ldap, s.cfg.Writers = double.StartLDAP(t, double.Reaction{Stage: "modify", End: "close"}, -1, false), 1
		}, func(c Counts) Kind { return c.Writers }, ending.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t)
			tt.setup(s)
			s.cfg.IMAP, s.cfg.SMTP, s.cfg.LDAP = s.imap.Addr, s.smtp.Addr, s.ldap.Addr
			c := s.start(t).ends(t)
			k := tt.kind(c)
			if len(k.Endings) != 1 || k.Endings[tt.want] != 1 || k.Held+k.Finished != 0 || len(c.Ends) != 1 || c.Ends[0].Ending != tt.want {
				t.Errorf("%+v", c)
			}
			if cut := tt.want != ending.Announced; (k.Cut() == 1) != cut {
				t.Errorf("cut: %d", k.Cut())
			}
		})
	}
}

// What is not taken at a beat ends nothing.
func TestRefusalsEndNothing(t *testing.T) {
	s := newStage(t)
	s.imap = double.StartIMAP(t, double.Reaction{Stage: "NOOP", Say: "TAG NO [UNAVAILABLE] later\r\n"})
	s.ldap = double.StartLDAP(t, double.Reaction{Stage: "modify"}, 52, false)
	s.smtp = double.StartSMTP(t, double.Reaction{Stage: "dot", Say: "451 4.3.0 later\r\n"})
	s.cfg.IMAP, s.cfg.SMTP, s.cfg.LDAP = s.imap.Addr, s.smtp.Addr, s.ldap.Addr
	s.cfg.Active, s.cfg.Data, s.cfg.Writers = 1, 1, 1
	r := s.start(t)
	r.until(t, "each was refused something", func(c Counts) bool {
		return c.Active.Refused > 2 && c.Data.Refused == 1 && c.Data.Finished == 1 && c.Writers.Refused > 2
	})
	r.stop()
	r.ends(t)
}

// The ledger tells what became of each message, whatever ended it.
func TestLedgerOfMessages(t *testing.T) {
	s := newStage(t)
	s.cfg.Data, s.cfg.DataTimes = 3, []time.Duration{time.Millisecond, time.Millisecond, time.Hour}
	s.smtp = double.StartSMTP(t, double.Reaction{Stage: "dot", End: "close"})
	s.cfg.SMTP = s.smtp.Addr
	r := s.start(t)
	r.until(t, "two have ended", func(c Counts) bool { return c.Data.Held == 1 })
	r.stop()
	r.ends(t)
	f, err := os.Open(s.cfg.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[ledger.Outcome]int{}
	var rcpts []string
	if _, err := ledger.Read(f, func(a ledger.Attempt) error {
		got[a.Outcome]++
		rcpts = append(rcpts, a.Rcpt)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got[ledger.Accepted]+got[ledger.Ambiguous] != 2 || got[ledger.Refused] != 1 || got[ledger.Ambiguous] > 1 {
		t.Errorf("%v", got)
	}
	if all := strings.Join(rcpts, " "); strings.Count(all, "a@d") != 2 || strings.Count(all, "b@d") != 1 {
		t.Errorf("recipients %s", all)
	}
}

// A session that can't be opened is an error: what is not held can't be cut.
func TestNeedsAllSessions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *stage)
	}{
		{"wrong password", func(s *stage) {
			s.cfg.Active, s.cfg.Users = 1, filepath.Join(t.TempDir(), "users")
			if err := os.WriteFile(s.cfg.Users, []byte("a:wrong\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no IDLE", func(s *stage) {
			s.cfg.Idle, s.cfg.IMAP = 1, double.StartIMAP(t, double.Reaction{Stage: "IDLE", Say: "TAG BAD what\r\n"}).Addr
		}},
		{"refused recipient", func(s *stage) {
			s.cfg.Data, s.cfg.SMTP = 1, double.StartSMTP(t, double.Reaction{Stage: "RCPT", Say: "450 4.2.0 later\r\n"}).Addr
		}},
		{"refused entry", func(s *stage) {
			s.cfg.Writers, s.cfg.LDAP = 1, double.StartLDAP(t, double.Reaction{Stage: "add"}, 50, false).Addr
		}},
		{"nobody there", func(s *stage) { s.cfg.Idle, s.cfg.IMAP = 1, "127.0.0.1:1" }},
	} {
		s := newStage(t)
		tt.change(s)
		h := &holder{cfg: s.cfg}
		if err := h.prepare(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.open(t.Context()); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		h.close()
	}
}

func TestCheck(t *testing.T) {
	good := newStage(t).cfg
	for name, change := range map[string]func(c *Config){
		"nothing to hold":  func(c *Config) {},
		"-imap":            func(c *Config) { c.Idle, c.IMAP = 1, "" },
		"-users":           func(c *Config) { c.Active, c.Users = 1, "" },
		"-data-time":       func(c *Config) { c.Data, c.DataTimes = 1, nil },
		"-dn":              func(c *Config) { c.Writers, c.DN = 1, "" },
		"-run":             func(c *Config) { c.Writers, c.Run = 1, "a b" },
		"none below":       func(c *Config) { c.Idle, c.Data = 2, -1 },
		"must be positive": func(c *Config) { c.Idle, c.Beat = 1, 0 },
	} {
		c := good
		change(&c)
		if err := c.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
