// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// ReadCounts tells what a reader has seen so far. It is its progress line and its summary.
type ReadCounts struct {
	Messages   int `json:"messages"`   // recorded in the ledger
	Duplicates int `json:"duplicates"` // messages that the same mailbox had before
	Complete   int `json:"complete"`   // mailboxes that were read to their end at least once
	// Renewed counts the times that a mailbox had another UIDVALIDITY than before: its clients have to read it all anew.
	Renewed  int `json:"renewed"`
	Sessions int `json:"sessions"`
	// Endings of sessions, and of attempts to get one, that were not ours.
	Endings map[ending.Ending]int `json:"endings,omitempty"`
	Refused int                   `json:"refused"` // commands with NO or BAD
}

// StartRead starts a process that reads mailboxes.
func StartRead(ctx context.Context, run tool.Command, cfg ReadConfig) (tool.Running[ReadCounts], error) {
	return tool.StartRunning[ReadCounts](ctx, run, &cfg, "imap-read")
}

// Read is the subcommand.
func Read(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg ReadConfig
	if err := t.Parse(&cfg, "imap-read", args); err != nil {
		return err
	}
	users, err := account.Read(cfg.Users)
	if err != nil {
		return err
	}
	file, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer file.Close()
	r := &reader{cfg: cfg, users: users, ledger: file}
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return r.snapshot() }, r.run)
}

// reader looks into the mailboxes of all users, side by side.
type reader struct {
	cfg    ReadConfig
	users  []account.Account
	ledger *ledger.Ledger

	mu     sync.Mutex
	counts ReadCounts
}

func (r *reader) count(change func(*ReadCounts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
}

func (r *reader) snapshot() ReadCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts
	c.Endings = make(map[ending.Ending]int)
	for e, n := range r.counts.Endings {
		c.Endings[e] = n
	}
	return c
}

// errIncomplete is the end of a reader before it has seen all mailboxes.
var errIncomplete = errors.New("not all mailboxes were read")

// run returns when ctx ends, when all is read that was asked for, or when the ledger can't be written.
func (r *reader) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(r.users))
	var wg sync.WaitGroup
	for _, user := range r.users {
		wg.Go(func() {
			if err := r.follow(ctx, &box{reader: r, user: user}); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if c := r.snapshot(); r.cfg.Once && c.Complete < len(r.users) {
		return fmt.Errorf("%w: %d of %d", errIncomplete, c.Complete, len(r.users))
	}
	return nil
}

// errLedger is what no new session can help against.
var errLedger = errors.New("ledger not written")

// follow reads one mailbox in as many sessions as it takes.
func (r *reader) follow(ctx context.Context, b *box) error {
	const pause = 200 * time.Millisecond // before another session
	for {
		err := b.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errLedger):
			return err
		case err == nil:
			return nil
		}
		r.count(func(c *ReadCounts) {
			if errors.Is(err, errRefused) {
				c.Refused++
				return
			}
			if c.Endings == nil {
				c.Endings = make(map[ending.Ending]int)
			}
			c.Endings[ending.Of(err)]++
		})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// errRefused is wrapped by errors about a command that the server said no to.
var errRefused = errors.New("refused")

// box is a mailbox and what is known of it.
type box struct {
	*reader
	user     account.Account
	validity uint32
	next     uint32         // UID from which on nothing was read
	recorded map[string]int // copies of each message in the ledger
	seen     map[string]int // copies of each message since the UIDs became valid
	complete bool
}

// session reads on from where the former session ended. It returns nil when ctx ends or all was read that was asked
// for.
func (b *box) session(ctx context.Context) error {
	s, err := Dialer{To: b.cfg.To, ConnectTimeout: b.cfg.ConnectTimeout, ReplyTimeout: b.cfg.ReplyTimeout}.Open(ctx)
	if err != nil {
		return err
	}
	b.count(func(c *ReadCounts) { c.Sessions++ })
	err = b.read(ctx, s)
	if err == nil || errors.Is(err, errRefused) {
		s.Quit(ctx)
	} else {
		s.Close()
	}
	return err
}

func (b *box) read(ctx context.Context, s *Session) error {
	refusal, err := s.Login(ctx, b.user.Name, b.user.Password)
	if err == nil && refusal != "" {
		err = fmt.Errorf("%w: %s", errRefused, refusal)
	}
	if err != nil {
		return err
	}
	if err := b.open(ctx, s); err != nil {
		return err
	}
	tick := time.NewTicker(b.cfg.Interval)
	defer tick.Stop()
	for {
		if err := b.fetch(ctx, s); err != nil {
			return err
		}
		if !b.complete {
			b.complete = true
			b.count(func(c *ReadCounts) { c.Complete++ })
		}
		if b.cfg.Once {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-tick.C:
				waiting = false
			case <-ctx.Done():
				return nil
			case resp, ok := <-s.Unasked():
				if err := s.Ended(resp, ok); err != nil {
					return err
				}
			}
		}
	}
}

// open selects the mailbox without the right to change it.
func (b *box) open(ctx context.Context, s *Session) error {
	word := regexp.MustCompile(`(?i)\[UIDVALIDITY (\d+)\]`)
	validity := uint32(0)
	done, err := s.Command(ctx, "EXAMINE "+quote(b.cfg.Mailbox), func(r Response) error {
		if n, ok := r.number(word); ok {
			validity = n
		}
		return nil
	})
	if err == nil && done.Status() != "OK" {
		err = fmt.Errorf("%w: EXAMINE: %s", errRefused, done.Text)
	}
	if err != nil {
		return err
	}
	if b.validity != validity {
		if b.validity != 0 {
			b.count(func(c *ReadCounts) { c.Renewed++ })
		}
		b.validity, b.next, b.seen = validity, 1, make(map[string]int)
	}
	if b.recorded == nil {
		b.recorded = make(map[string]int)
	}
	return nil
}

// fetch reads what has a UID from b.next on.
func (b *box) fetch(ctx context.Context, s *Session) error {
	word := regexp.MustCompile(`(?i)[( ]UID (\d+)`)
	from := b.next
	done, err := s.Command(ctx, fmt.Sprintf("UID FETCH %d:* (UID BODY.PEEK[])", from), func(r Response) error {
		uid, ok := r.number(word)
		// The last message is in every range that ends with *.
		if !ok || len(r.Literals) != 1 || uid < from {
			return nil
		}
		if err := b.record(r.Literals[0]); err != nil {
			return err
		}
		b.next = max(b.next, uid+1)
		return nil
	})
	if err == nil && done.Status() != "OK" {
		err = fmt.Errorf("%w: FETCH: %s", errRefused, done.Text)
	}
	return err
}

// record writes a message down, unless it was written down before the UIDs of the mailbox changed.
func (b *box) record(data []byte) error {
	id, hash := letter.Inspect(data)
	b.seen[id]++
	if b.seen[id] <= b.recorded[id] {
		return nil
	}
	if err := b.ledger.Append(ledger.Arrival{ID: id, Rcpts: []string{b.user.Name}, Size: len(data), Hash: hash, At: time.Now()}); err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	b.recorded[id]++
	b.count(func(c *ReadCounts) {
		c.Messages++
		if id != "" && b.recorded[id] > 1 {
			c.Duplicates++
		}
	})
	return nil
}
