// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"cmp"
	"errors"
	"flag"
	"time"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/promise"
)

// Login says as whom to write or read. Without a DN it is nobody in particular.
type Login struct {
	DN        string
	Passwords string // file with a line NAME:PASSWORD
	Account   string // the NAME of the one to use there
}

func (l *Login) flags(fs *flag.FlagSet) {
	fs.StringVar(&l.DN, "dn", l.DN, "`DN` to bind as")
	fs.StringVar(&l.Passwords, "passwords", l.Passwords, "`file` with a line NAME:PASSWORD")
	fs.StringVar(&l.Account, "account", l.Account, "`NAME` of the line with the password")
}

func (l *Login) check() error {
	if l.DN != "" && (l.Passwords == "" || l.Account == "") {
		return errors.New("-dn needs -passwords and -account")
	}
	return nil
}

// password is empty without a DN.
func (l *Login) password() (string, error) {
	if l.DN == "" {
		return "", nil
	}
	a, err := account.Find(l.Passwords, l.Account)
	return a.Password, err
}

// WriteConfig tells a writer what to write, and where. Zero values mean the defaults.
type WriteConfig struct {
	To   string // address with port of the server
	Base string // DN below which entries are made
	Login
	promise.Plan
}

// Flags gives each value a flag.
func (c *WriteConfig) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.To, "to", c.To, "`address:port` of the server")
	fs.StringVar(&c.Base, "base", c.Base, "`DN` below which entries are made")
	c.Login.flags(fs)
	c.Plan.Flags(fs)
}

// Check says what is wrong with the values.
func (c *WriteConfig) Check() error {
	if c.To == "" || c.Base == "" {
		return errors.New("-to and -base are needed")
	}
	return errors.Join(c.Login.check(), c.Plan.Check())
}

// ReadConfig tells a reader where to look. Zero values mean the defaults.
type ReadConfig struct {
	To   string // address with port of the server
	Base string // DN below which the entries of writers are
	Login
	Ledger         string        // file to append to
	ConnectTimeout time.Duration // default 5 s
	ReplyTimeout   time.Duration // default 30 s
	For            time.Duration // how long to try until all was read once; default 30 s
}

// Flags gives each value a flag.
func (c *ReadConfig) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.To, "to", c.To, "`address:port` of the server")
	fs.StringVar(&c.Base, "base", c.Base, "`DN` below which the entries are")
	c.Login.flags(fs)
	fs.StringVar(&c.Ledger, "ledger", c.Ledger, "`file` to append a record of each write that is found to")
	fs.DurationVar(&c.ConnectTimeout, "connect-timeout", cmp.Or(c.ConnectTimeout, 5*time.Second), "time to connect")
	fs.DurationVar(&c.ReplyTimeout, "reply-timeout", cmp.Or(c.ReplyTimeout, 30*time.Second), "time to wait for a response")
	fs.DurationVar(&c.For, "for", cmp.Or(c.For, 30*time.Second), "time to try until all was read once")
}

// Check says what is wrong with the values.
func (c *ReadConfig) Check() error {
	switch {
	case c.To == "" || c.Base == "" || c.Ledger == "":
		return errors.New("-to, -base and -ledger are needed")
	case c.ConnectTimeout <= 0 || c.ReplyTimeout <= 0:
		return errors.New("-connect-timeout and -reply-timeout must be positive")
	}
	return c.Login.check()
}
