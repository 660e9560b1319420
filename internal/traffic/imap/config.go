// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"cmp"
	"errors"
	"flag"
	"time"

	"github.com/mailha/mailha/internal/traffic/promise"
)

// ReadConfig tells a reader where to look. Zero values mean the defaults.
type ReadConfig struct {
	To             string        // address with port of the server
	Users          string        // file with a line NAME:PASSWORD for each whose mailbox is read
	Mailbox        string        // default INBOX
	Ledger         string        // file to append to
	Once           bool          // read all that is there, then end
	Interval       time.Duration // between two looks at a mailbox; default 500 ms
	ConnectTimeout time.Duration // default 5 s
	ReplyTimeout   time.Duration // default 30 s
	For            time.Duration // how long to run; 0: until stopped
}

// Flags gives each value a flag.
func (c *ReadConfig) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.To, "to", c.To, "`address:port` of the server")
	fs.StringVar(&c.Users, "users", c.Users, "`file` with a line NAME:PASSWORD for each user")
	fs.StringVar(&c.Mailbox, "mailbox", cmp.Or(c.Mailbox, "INBOX"), "`name` of the mailbox to read")
	fs.StringVar(&c.Ledger, "ledger", c.Ledger, "`file` to append a record of each message to")
	fs.BoolVar(&c.Once, "once", c.Once, "read all that is there, then end")
	fs.DurationVar(&c.Interval, "interval", cmp.Or(c.Interval, 500*time.Millisecond), "time between two looks at a mailbox")
	fs.DurationVar(&c.ConnectTimeout, "connect-timeout", cmp.Or(c.ConnectTimeout, 5*time.Second), "time to connect")
	fs.DurationVar(&c.ReplyTimeout, "reply-timeout", cmp.Or(c.ReplyTimeout, 30*time.Second), "time to wait for a response")
	fs.DurationVar(&c.For, "for", c.For, "time to run (default until stopped)")
}

// Check says what is wrong with the values.
func (c *ReadConfig) Check() error {
	switch {
	case c.To == "" || c.Users == "" || c.Ledger == "":
		return errors.New("-to, -users and -ledger are needed")
	case c.Interval <= 0 || c.ConnectTimeout <= 0 || c.ReplyTimeout <= 0:
		return errors.New("-interval, -connect-timeout and -reply-timeout must be positive")
	}
	return nil
}

// AppendConfig tells an appender what to store, and where. Zero values mean the defaults.
type AppendConfig struct {
	To      string // address with port of the server
	Users   string // file with a line NAME:PASSWORD for each in whose mailboxes messages are stored, a session each in turn
	Mailbox string // default INBOX
	promise.Plan
}

// Flags gives each value a flag.
func (c *AppendConfig) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.To, "to", c.To, "`address:port` of the server")
	fs.StringVar(&c.Users, "users", c.Users, "`file` with a line NAME:PASSWORD for each user")
	fs.StringVar(&c.Mailbox, "mailbox", cmp.Or(c.Mailbox, "INBOX"), "`name` of the mailbox to store in")
	c.Plan.Flags(fs)
}

// Check says what is wrong with the values.
func (c *AppendConfig) Check() error {
	if c.To == "" || c.Users == "" {
		return errors.New("-to and -users are needed")
	}
	return c.Plan.Check()
}
