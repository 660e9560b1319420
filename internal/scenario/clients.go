// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mailha/mailha/internal/traffic"
	"github.com/mailha/mailha/internal/traffic/hold"
	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/pace"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// The ports of the front door and of what is behind it.
const (
	imapPort = ":143"
	pop3Port = ":110"
	ldapPort = ":389"
)

// Clients use a whole mail system from outside, through its front door, and
// prove what became of all that it took: mail for its users, messages that they
// store, and entries of the directory.
type Clients struct {
	run     tool.Command
	layout  layout
	dir     string
	users   []Account
	loads   map[string]tool.Running[promise.Counts] // by name
	counts  map[string]promise.Counts
	started string
	held    []string // names of those whose messages count as well
}

// The names of what clients do.
const (
	Mail      = "mail"      // SMTP, delivered and read by IMAP
	Mailbox   = "mailbox"   // IMAP APPEND
	Directory = "directory" // LDAP writes
)

// NewClients makes clients that run programs by way of run and leave their
// ledgers and passwords in dir. The users are those of [FurnishSystem].
func NewClients(run tool.Command, dir string, users []Account) (*Clients, error) {
	return newClients(apart(), run, dir, users)
}

func newClients(l layout, run tool.Command, dir string, users []Account) (*Clients, error) {
	c := &Clients{run: run, layout: l, dir: dir, users: users}
	for name, accounts := range map[string][]Account{usersFile: users, accountsFile: {Writer()}} {
		if err := os.WriteFile(c.file(name), Passwords(accounts...), 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
}

const usersFile, accountsFile = "users", "accounts"

func (c *Clients) file(name string) string { return filepath.Join(c.dir, name) }

// addresses are those of all users.
func (c *Clients) addresses() []string {
	var all []string
	for _, u := range c.users {
		all = append(all, u.Name+"@"+Domain)
	}
	return all
}

func (c *Clients) login() ldap.Login {
	return ldap.Login{DN: "cn=" + Writer().Name + "," + Suffix, Passwords: c.file(accountsFile), Account: Writer().Name}
}

const ledgerBase = "ou=ledger," + Suffix

// Start lets clients begin, each kind at the rate. The name tells their
// messages from those of any other start in the same system.
func (c *Clients) Start(ctx context.Context, name string, rate pace.Rate) (err error) {
	const sessions, perSession, retry, grace = 4, 10, 500 * time.Millisecond, time.Minute
	const connect, reply = 3 * time.Second, 20 * time.Second
	c.started, c.loads, c.counts = name, make(map[string]tool.Running[promise.Counts]), make(map[string]promise.Counts)
	plan := func(kind string) promise.Plan {
		return promise.Plan{
			Run: name + "-" + kind, Ledger: c.ledger(kind), Rate: rate, Sessions: sessions, PerSession: perSession,
			Retry: retry, Grace: grace, ConnectTimeout: connect, ReplyTimeout: reply,
		}
	}
	mail := plan(Mail)
	begin := func(kind string, start func() (tool.Running[promise.Counts], error)) {
		// The run's name is new, an old file of that name is another system's.
		if rmErr := os.RemoveAll(c.ledger(kind)); rmErr != nil || err != nil {
			err = errors.Join(err, rmErr)
			return
		}
		load, startErr := start()
		if err = startErr; err == nil {
			c.loads[kind] = load
		}
	}
	begin(Mail, func() (tool.Running[promise.Counts], error) {
		load, err := traffic.StartLoad(ctx, c.run, traffic.LoadConfig{
			To: c.layout.front + smtpPort, Run: mail.Run, Rcpts: c.addresses(), Ledger: mail.Ledger, Rate: rate, Sessions: sessions,
			PerSession: perSession, Retry: retry, Grace: grace, ConnectTimeout: connect, ReplyTimeout: reply,
		})
		if err != nil {
			return tool.Running[promise.Counts]{}, err
		}
		return load.Running, nil
	})
	begin(Mailbox, func() (tool.Running[promise.Counts], error) {
		return imap.StartAppend(ctx, c.run, imap.AppendConfig{To: c.layout.front + imapPort, Users: c.file(usersFile), Plan: plan(Mailbox)})
	})
	begin(Directory, func() (tool.Running[promise.Counts], error) {
		return ldap.StartWrite(ctx, c.run, ldap.WriteConfig{To: c.layout.front + ldapPort, Base: ledgerBase, Login: c.login(), Plan: plan(Directory)})
	})
	return err
}

// Taken waits until each kind of clients had so many more of their messages taken than
// before.
func (c *Clients) Taken(ctx context.Context, more int) error {
	want := make(map[string]int)
	for kind, counts := range c.Progress() {
		want[kind] = counts.Accepted + more
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := ""
		for kind, counts := range c.Progress() {
			if counts.Accepted < want[kind] {
				behind = fmt.Sprintf("%s: %+v, want %d to be taken", kind, counts, want[kind])
			}
		}
		if behind == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("clients cannot do their work: %s: %w", behind, ctx.Err())
		case <-tick.C:
		}
	}
}

func (c *Clients) ledger(kind string) string { return c.file(c.started + "-" + kind + ".jsonl") }

// Progress says what each kind of clients has done so far.
func (c *Clients) Progress() map[string]promise.Counts {
	all := make(map[string]promise.Counts)
	for kind, load := range c.loads {
		all[kind] = load.Progress()
	}
	return all
}

// Stop lets clients end, after what they began was taken.
func (c *Clients) Stop(ctx context.Context) error {
	var errs []error
	for kind, load := range c.loads {
		load.End()
		c.counts[kind] = promise.Counts{}
	}
	for kind, load := range c.loads {
		counts, err := load.Wait(ctx)
		c.counts[kind] = counts
		errs = append(errs, err)
	}
	c.loads = nil
	return errors.Join(errs...)
}

// Crowd says how many sessions of each kind are held.
type Crowd struct {
	Idle    int             // IMAP, waiting for news
	Active  int             // IMAP, with a command every moment
	Data    int             // SMTP, in the middle of a message
	Writers int             // LDAP, with a write every moment
	Finish  []time.Duration // after which the messages are finished, in turn
}

// Hold opens sessions through the front door. Their messages count under the
// name in what [Clients.Prove] gives. It returns when all are open.
func (c *Clients) Hold(ctx context.Context, name string, crowd Crowd) (tool.Running[hold.Counts], error) {
	const patience = 30 * time.Second // they all come at once
	login := c.login()
	if err := os.RemoveAll(c.file(name + ".jsonl")); err != nil {
		return tool.Running[hold.Counts]{}, err
	}
	c.held = append(c.held, name)
	return hold.Start(ctx, c.run, hold.Config{
		IMAP: c.layout.front + imapPort, Users: c.file(usersFile), Idle: crowd.Idle, Active: crowd.Active,
		SMTP: c.layout.front + smtpPort, Data: crowd.Data, DataTimes: crowd.Finish, Rcpts: c.addresses(), Run: name, Ledger: c.file(name + ".jsonl"),
		LDAP: c.layout.front + ldapPort, Writers: crowd.Writers, Base: ledgerBase, DN: login.DN, Passwords: login.Passwords, Account: login.Account,
		ConnectTimeout: patience, ReplyTimeout: patience,
	})
}

// Read reads all mailboxes through the front door as messages arrive, as users
// do. What it saw is no proof: a message may go again. [Clients.Prove] looks.
func (c *Clients) Read(ctx context.Context) (tool.Running[imap.ReadCounts], error) {
	seen := c.file("seen.jsonl")
	if err := os.RemoveAll(seen); err != nil {
		return tool.Running[imap.ReadCounts]{}, err
	}
	return imap.StartRead(ctx, c.run, imap.ReadConfig{To: c.layout.front + imapPort, Users: c.file(usersFile), Ledger: seen})
}

// Watch asks for the greetings of all that the front door lets in.
func (c *Clients) Watch(ctx context.Context, every time.Duration) (*traffic.Probe, error) {
	return traffic.StartProbe(ctx, c.run, traffic.ProbeConfig{
		ICMP: c.layout.front, Banner: c.layout.front + smtpPort, IMAP: c.layout.front + imapPort, POP3: c.layout.front + pop3Port, LDAP: c.layout.front + ldapPort,
		BannerInterval: every,
	})
}
