// SPDX-License-Identifier: Apache-2.0

package promise

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/pace"
)

// Plan says how much to send, and how to keep at it. Zero values mean the defaults.
type Plan struct {
	Run            string        // name of the run, which no other has in the same ledgers: 1 to 64 letters, digits and ._-
	Ledger         string        // file to append to
	Rate           pace.Rate     // attempts per second, first ones and retries together; default 50
	Sessions       int           // concurrent ones; default 10
	PerSession     int           // messages before the client ends a session; default 10
	Messages       int           // how many to send; 0: until stopped
	For            time.Duration // how long to send; 0: until stopped
	Grace          time.Duration // for retries after that; default 30 s, negative: none
	Retry          time.Duration // until a message is sent again; default 1 s
	ConnectTimeout time.Duration // default 5 s
	ReplyTimeout   time.Duration // default 30 s
	Seed           uint64        // of the bodies
}

// Flags gives each value a flag.
func (p *Plan) Flags(fs *flag.FlagSet) {
	p.Rate = cmp.Or(p.Rate, 50)
	fs.StringVar(&p.Run, "run", p.Run, "`name` of the run, new for the ledgers")
	fs.StringVar(&p.Ledger, "ledger", p.Ledger, "`file` to append a record of each attempt to")
	fs.Var(&p.Rate, "rate", "attempts in a time, such as 50/s or 3000/m")
	fs.IntVar(&p.Sessions, "sessions", cmp.Or(p.Sessions, 10), "concurrent sessions")
	fs.IntVar(&p.PerSession, "per-session", cmp.Or(p.PerSession, 10), "messages before the client ends a session")
	fs.IntVar(&p.Messages, "messages", p.Messages, "messages to send (default until stopped)")
	fs.DurationVar(&p.For, "for", p.For, "time to send (default until stopped)")
	fs.DurationVar(&p.Grace, "grace", cmp.Or(p.Grace, 30*time.Second), "time for retries at the end")
	fs.DurationVar(&p.Retry, "retry", cmp.Or(p.Retry, time.Second), "time until a message is sent again")
	fs.DurationVar(&p.ConnectTimeout, "connect-timeout", cmp.Or(p.ConnectTimeout, 5*time.Second), "time to connect")
	fs.DurationVar(&p.ReplyTimeout, "reply-timeout", cmp.Or(p.ReplyTimeout, 30*time.Second), "time to wait for a reply")
	fs.Uint64Var(&p.Seed, "seed", p.Seed, "seed of the message bodies")
}

// Check says what is wrong with the values.
func (p *Plan) Check() error {
	switch {
	case p.Ledger == "":
		return errors.New("-ledger is needed")
	case !letter.ValidRun(p.Run):
		return fmt.Errorf("-run %q: 1 to 64 letters, digits and ._- are needed", p.Run)
	case p.Sessions < 1 || p.PerSession < 1 || p.Messages < 0:
		return errors.New("-sessions and -per-session must be at least 1, -messages at least 0")
	case p.ConnectTimeout <= 0 || p.ReplyTimeout <= 0 || p.Retry < 0:
		return errors.New("-connect-timeout and -reply-timeout must be positive, -retry not negative")
	}
	return nil
}
