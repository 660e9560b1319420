// SPDX-License-Identifier: Apache-2.0

package hold

import (
	"cmp"
	"errors"
	"flag"
	"time"

	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// Config tells which sessions to hold. Zero values mean the defaults.
type Config struct {
	IMAP    string // address with port, of Idle and Active
	Users   string // file with a line NAME:PASSWORD for each user, who have the IMAP sessions in turn
	Mailbox string // default INBOX
	Idle    int    // IMAP sessions that wait for news
	Active  int    // IMAP sessions with a command every Beat

	SMTP      string          // address with port, of Data
	Data      int             // SMTP sessions in the middle of a message
	DataTimes []time.Duration // after which the messages are finished, in turn; needed with Data
	Rcpts     []string        // get the messages in turn
	Run       string          // names the messages
	Ledger    string          // file to append a record of each message to

	LDAP      string // address with port, of Writers
	Writers   int    // LDAP sessions with a modification every Beat
	Base      string // DN below which each writer has an entry
	DN        string // to bind as
	Passwords string // file with a line NAME:PASSWORD
	Account   string // the NAME of the line with the password of DN

	Beat           time.Duration // default 200 ms
	ConnectTimeout time.Duration // default 5 s
	ReplyTimeout   time.Duration // default 30 s
	For            time.Duration // how long to hold; 0: until stopped, or all have ended
}

// Flags gives each value a flag.
func (c *Config) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.IMAP, "imap", c.IMAP, "`address:port` of the IMAP server")
	fs.StringVar(&c.Users, "users", c.Users, "`file` with a line NAME:PASSWORD for each user")
	fs.StringVar(&c.Mailbox, "mailbox", cmp.Or(c.Mailbox, "INBOX"), "`name` of the mailbox that IMAP sessions look at")
	fs.IntVar(&c.Idle, "idle", c.Idle, "IMAP sessions that wait for news")
	fs.IntVar(&c.Active, "active", c.Active, "IMAP sessions that do something at every beat")
	fs.StringVar(&c.SMTP, "smtp", c.SMTP, "`address:port` of the MTA")
	fs.IntVar(&c.Data, "data", c.Data, "SMTP sessions in the middle of a message")
	fs.Var((*tool.Durations)(&c.DataTimes), "data-time", "`time` after which a message is finished; may be repeated, in turn")
	fs.Var((*tool.List)(&c.Rcpts), "rcpt", "recipient `address`; may be repeated, in turn")
	fs.StringVar(&c.Run, "run", c.Run, "`name` of the messages, new for the ledgers")
	fs.StringVar(&c.Ledger, "ledger", c.Ledger, "`file` to append a record of each message to")
	fs.StringVar(&c.LDAP, "ldap", c.LDAP, "`address:port` of the directory")
	fs.IntVar(&c.Writers, "writers", c.Writers, "LDAP sessions that write at every beat")
	fs.StringVar(&c.Base, "base", c.Base, "`DN` below which writers have their entries")
	fs.StringVar(&c.DN, "dn", c.DN, "`DN` to bind as")
	fs.StringVar(&c.Passwords, "passwords", c.Passwords, "`file` with a line NAME:PASSWORD for the DN")
	fs.StringVar(&c.Account, "account", c.Account, "`NAME` of that line")
	fs.DurationVar(&c.Beat, "beat", cmp.Or(c.Beat, 200*time.Millisecond), "time between two commands of a session")
	fs.DurationVar(&c.ConnectTimeout, "connect-timeout", cmp.Or(c.ConnectTimeout, 5*time.Second), "time to connect")
	fs.DurationVar(&c.ReplyTimeout, "reply-timeout", cmp.Or(c.ReplyTimeout, 30*time.Second), "time to wait for a reply")
	fs.DurationVar(&c.For, "for", c.For, "time to hold (default until stopped, or all have ended)")
}

// Check says what is wrong with the values.
func (c *Config) Check() error {
	switch {
	case c.Idle+c.Active > 0 && (c.IMAP == "" || c.Users == ""):
		return errors.New("-idle and -active need -imap and -users")
	case c.Data > 0 && (c.SMTP == "" || len(c.DataTimes) == 0 || len(c.Rcpts) == 0 || c.Ledger == ""):
		return errors.New("-data needs -smtp, -data-time, -rcpt and -ledger")
	case c.Writers > 0 && (c.LDAP == "" || c.Base == "" || c.DN == "" || c.Passwords == "" || c.Account == ""):
		return errors.New("-writers needs -ldap, -base, -dn, -passwords and -account")
	case c.Data+c.Writers > 0 && !letter.ValidRun(c.Run):
		return errors.New("-data and -writers need -run: 1 to 64 letters, digits and ._-")
	case min(c.Idle, c.Active, c.Data, c.Writers) < 0 || c.Idle+c.Active+c.Data+c.Writers == 0:
		return errors.New("at least one of -idle, -active, -data and -writers must be above 0, and none below")
	case c.Beat <= 0 || c.ConnectTimeout <= 0 || c.ReplyTimeout <= 0:
		return errors.New("-beat, -connect-timeout and -reply-timeout must be positive")
	}
	return nil
}
