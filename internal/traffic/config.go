// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/pace"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// The configurations are read from flags and written as flags by the same table, their method Flags, which also puts
// the defaults in the place of zero values.

// SinkConfig tells a sink what to do.
type SinkConfig struct {
	Listen   []string      // addresses with ports; at least one
	Ledger   string        // file to append to
	Delay    time.Duration // held back before the final 250, the message being recorded
	DelayFor string        // only when a recipient contains this
	For      time.Duration // how long to run; 0: until stopped
}

// Flags is that of [tool.Config].
func (c *SinkConfig) Flags(fs *flag.FlagSet) {
	fs.Var((*tool.List)(&c.Listen), "listen", "`address:port` to listen on; may be repeated")
	fs.StringVar(&c.Ledger, "ledger", c.Ledger, "`file` to append a record of each message to")
	fs.DurationVar(&c.Delay, "delay", c.Delay, "time to hold back the final reply")
	fs.StringVar(&c.DelayFor, "delay-for", c.DelayFor, "delay only if a recipient contains this `text`")
	fs.DurationVar(&c.For, "for", c.For, "time to run (default until stopped)")
}

// Check is that of [tool.Config].
func (c *SinkConfig) Check() error {
	if len(c.Listen) == 0 || c.Ledger == "" {
		return errors.New("-listen and -ledger are needed")
	}
	return nil
}

// Rate is a number of events per second.
type Rate = pace.Rate

// LoadConfig tells a load what to send, and where. Zero values mean the defaults.
type LoadConfig struct {
	To             string        // address with port of the MTA
	Run            string        // name of the run, which no other has in the same ledgers: 1 to 64 letters, digits and ._-
	RcptDomain     string        // message N is for tN@RcptDomain
	Rcpts          []string      // or for these in turn
	Ledger         string        // file to append to
	Rate           Rate          // attempts per second, first ones and retries together; default 50
	Sessions       int           // concurrent ones; default 10
	PerSession     int           // messages before QUIT; default 10
	Messages       int           // how many to send; 0: until stopped
	For            time.Duration // how long to send; 0: until stopped
	Grace          time.Duration // for retries after that; default 30 s, negative: none
	Retry          time.Duration // until a message is sent again; default 1 s
	ConnectTimeout time.Duration // default 5 s
	ReplyTimeout   time.Duration // default 30 s
	From           string        // sender; default load@load.test
	Helo           string        // default load.test
	Seed           uint64        // of the bodies
}

// Flags is that of [tool.Config].
func (c *LoadConfig) Flags(fs *flag.FlagSet) {
	c.Rate = cmp.Or(c.Rate, 50)
	fs.StringVar(&c.To, "to", c.To, "`address:port` of the MTA")
	fs.StringVar(&c.Run, "run", c.Run, "`name` of the run, new for the ledgers")
	fs.StringVar(&c.RcptDomain, "rcpt-domain", c.RcptDomain, "`domain` of the recipients")
	fs.Var((*tool.List)(&c.Rcpts), "rcpt", "recipient `address` instead; may be repeated, messages are for each in turn")
	fs.StringVar(&c.Ledger, "ledger", c.Ledger, "`file` to append a record of each attempt to")
	fs.Var(&c.Rate, "rate", "attempts in a time, such as 50/s or 3000/m")
	fs.IntVar(&c.Sessions, "sessions", cmp.Or(c.Sessions, 10), "concurrent sessions")
	fs.IntVar(&c.PerSession, "per-session", cmp.Or(c.PerSession, 10), "messages before QUIT")
	fs.IntVar(&c.Messages, "messages", c.Messages, "messages to send (default until stopped)")
	fs.DurationVar(&c.For, "for", c.For, "time to send (default until stopped)")
	fs.DurationVar(&c.Grace, "grace", cmp.Or(c.Grace, 30*time.Second), "time for retries at the end")
	fs.DurationVar(&c.Retry, "retry", cmp.Or(c.Retry, time.Second), "time until a message is sent again")
	fs.DurationVar(&c.ConnectTimeout, "connect-timeout", cmp.Or(c.ConnectTimeout, 5*time.Second), "time to connect")
	fs.DurationVar(&c.ReplyTimeout, "reply-timeout", cmp.Or(c.ReplyTimeout, 30*time.Second), "time to wait for a reply")
	fs.StringVar(&c.From, "from", cmp.Or(c.From, "load@load.test"), "sender `address`")
	fs.StringVar(&c.Helo, "helo", cmp.Or(c.Helo, "load.test"), "`name` for EHLO")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "seed of the message bodies")
}

// Check is that of [tool.Config].
func (c *LoadConfig) Check() error {
	switch {
	case c.To == "" || c.Ledger == "":
		return errors.New("-to and -ledger are needed")
	case !letter.ValidRun(c.Run):
		return fmt.Errorf("-run %q: 1 to 64 letters, digits and ._- are needed", c.Run)
	case len(c.Rcpts) == 0 && !validDomain(c.RcptDomain):
		return fmt.Errorf("-rcpt-domain %q is no domain", c.RcptDomain)
	case !validDomain(c.Helo):
		return fmt.Errorf("-helo %q is no domain", c.Helo)
	case c.Sessions < 1 || c.PerSession < 1 || c.Messages < 0:
		return errors.New("-sessions and -per-session must be at least 1, -messages at least 0")
	case c.ConnectTimeout <= 0 || c.ReplyTimeout <= 0 || c.Retry < 0:
		return errors.New("-connect-timeout and -reply-timeout must be positive, -retry not negative")
	}
	if _, rest, ok := parsePath("FROM:<"+c.From+">", "FROM:"); !ok || rest != "" {
		return fmt.Errorf("-from %q is no address", c.From)
	}
	for _, rcpt := range c.Rcpts {
		if to, rest, ok := parsePath("TO:<"+rcpt+">", "TO:"); !ok || rest != "" || to == "" {
			return fmt.Errorf("-rcpt %q is no address", rcpt)
		}
	}
	return nil
}

// ProbeConfig tells a probe what to ask. At least one of the addresses is needed. Zero values mean the defaults.
type ProbeConfig struct {
	ICMP           string        // IPv4 or IPv6 address for echo requests
	ICMPInterval   time.Duration // default 5 ms
	Banner         string        // address with port that greets with 220
	IMAP           string        // address with port that greets with OK
	POP3           string        // address with port that greets with +OK
	LDAP           string        // address with port that answers for its root DSE
	BannerInterval time.Duration // of each of the four; default 20 ms
	Timeout        time.Duration // of one connection until its greeting; default 5 s
	For            time.Duration // how long to run; 0: until stopped
}

// Flags is that of [tool.Config].
func (c *ProbeConfig) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.ICMP, "icmp", c.ICMP, "`address` for echo requests")
	fs.DurationVar(&c.ICMPInterval, "icmp-interval", cmp.Or(c.ICMPInterval, 5*time.Millisecond), "time between echo requests")
	fs.StringVar(&c.Banner, "banner", c.Banner, "`address:port` that greets with 220")
	fs.StringVar(&c.IMAP, "imap", c.IMAP, "`address:port` that greets with OK")
	fs.StringVar(&c.POP3, "pop3", c.POP3, "`address:port` that greets with +OK")
	fs.StringVar(&c.LDAP, "ldap", c.LDAP, "`address:port` that answers for its root DSE")
	fs.DurationVar(&c.BannerInterval, "banner-interval", cmp.Or(c.BannerInterval, 20*time.Millisecond), "time between connections to the same address")
	fs.DurationVar(&c.Timeout, "timeout", cmp.Or(c.Timeout, 5*time.Second), "time for a connection until its greeting")
	fs.DurationVar(&c.For, "for", c.For, "time to run (default until stopped)")
}

// Check is that of [tool.Config].
func (c *ProbeConfig) Check() error {
	switch {
	case c.ICMP == "" && len(c.doors()) == 0:
		return errors.New("at least one of -icmp, -banner, -imap, -pop3 and -ldap is needed")
	case c.ICMPInterval <= 0 || c.BannerInterval <= 0 || c.Timeout <= 0:
		return errors.New("-icmp-interval, -banner-interval and -timeout must be positive")
	}
	return nil
}
