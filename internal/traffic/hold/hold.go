// SPDX-License-Identifier: Apache-2.0

package hold

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/account"
	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// Kind counts the sessions of one kind.
type Kind struct {
	Held     int `json:"held"`     // still open
	Finished int `json:"finished"` // did all they were there for
	Beats    int `json:"beats"`    // commands that succeeded
	Refused  int `json:"refused"`  // commands and messages that the server said no to
	// Endings of the other sessions: "announced" if the server ended it with a word, all else is cut.
	Endings map[ending.Ending]int `json:"endings,omitempty"`
}

// Cut counts the sessions that ended without a word of the server.
func (k Kind) Cut() int {
	n := 0
	for e, each := range k.Endings {
		if e != ending.Announced {
			n += each
		}
	}
	return n
}

// End is how one session ended that did not finish.
type End struct {
	Kind    string        `json:"kind"`
	Ending  ending.Ending `json:"ending"`
	Words   string        `json:"words"`    // of the server, or of the error
	AfterMS int64         `json:"after_ms"` // since all sessions were open
}

// Counts tells what became of the sessions so far. It is the progress line and the summary.
type Counts struct {
	Idle    Kind  `json:"imap_idle"`
	Active  Kind  `json:"imap_active"`
	Data    Kind  `json:"smtp_data"`
	Writers Kind  `json:"ldap_writers"`
	Ends    []End `json:"ends,omitempty"` // the first of them
}

// maxEnds bounds the list of ends.
const maxEnds = 100

// Start starts a process that holds sessions, and returns when all of them are open.
func Start(ctx context.Context, run tool.Command, cfg Config) (tool.Running[Counts], error) {
	return tool.StartRunning[Counts](ctx, run, &cfg, "hold")
}

// Hold is the subcommand.
func Hold(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg Config
	if err := t.Parse(&cfg, "hold", args); err != nil {
		return err
	}
	h := &holder{cfg: cfg}
	if err := h.prepare(); err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held, err := h.open(ctx)
	if err != nil {
		return err
	}
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return h.snapshot() }, func(ctx context.Context) error { return h.hold(ctx, held) })
}

// holder holds the sessions.
type holder struct {
	cfg      Config
	users    []account.Account
	password string
	ledger   *ledger.Ledger
	since    time.Time

	mu     sync.Mutex
	counts Counts
}

func (h *holder) prepare() (err error) {
	if h.cfg.Idle+h.cfg.Active > 0 {
		if h.users, err = account.Read(h.cfg.Users); err != nil {
			return err
		}
	}
	if h.cfg.Writers > 0 {
		a, err := account.Find(h.cfg.Passwords, h.cfg.Account)
		if err != nil {
			return err
		}
		h.password = a.Password
	}
	if h.cfg.Data > 0 {
		h.ledger, err = ledger.Open(h.cfg.Ledger)
	}
	return err
}

func (h *holder) close() {
	if h.ledger != nil {
		h.ledger.Close()
	}
}

// session is one that is held.
type session interface {
	// hold returns nil when the session has done what it is there for, and an error when it has ended before. At the
	// end of ctx it ends the session.
	hold(ctx context.Context) error
}

// member is a session with its kind.
type member struct {
	session
	name string
	kind *Kind
}

// errStopped is the end of a session that we ended.
var errStopped = errors.New("stopped")

// errUnwritten is a ledger's.
var errUnwritten = errors.New("ledger not written")

// open opens all sessions. They live until ctx ends, or hold ends them.
func (h *holder) open(ctx context.Context) ([]member, error) {
	var mu sync.Mutex
	var held []member
	var errs []error
	var wg sync.WaitGroup
	for _, group := range []struct {
		name string
		kind *Kind
		n    int
		open func(ctx context.Context, i int) (session, error)
	}{
		{"imap_idle", &h.counts.Idle, h.cfg.Idle, h.openIdle},
		{"imap_active", &h.counts.Active, h.cfg.Active, h.openActive},
		{"smtp_data", &h.counts.Data, h.cfg.Data, h.openData},
		{"ldap_writers", &h.counts.Writers, h.cfg.Writers, h.openWriter},
	} {
		for i := range group.n {
			wg.Go(func() {
				s, err := group.open(ctx, i)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, fmt.Errorf("%s session %d: %w", group.name, i, err))
					return
				}
				held = append(held, member{s, group.name, group.kind})
				group.kind.Held++
			})
		}
	}
	wg.Wait()
	return held, errors.Join(errs...)
}

// hold returns when all sessions have ended.
func (h *holder) hold(ctx context.Context, held []member) error {
	h.since = time.Now()
	failed := make(chan error, len(held))
	var wg sync.WaitGroup
	for _, m := range held {
		wg.Go(func() {
			err := m.hold(ctx)
			h.ended(m, err)
			if errors.Is(err, errUnwritten) {
				failed <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (h *holder) ended(m member, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.kind.Held--
	switch {
	case err == nil:
		m.kind.Finished++
		return
	case errors.Is(err, errStopped):
		return
	}
	if m.kind.Endings == nil {
		m.kind.Endings = make(map[ending.Ending]int)
	}
	how := ending.Of(err)
	m.kind.Endings[how]++
	if len(h.counts.Ends) < maxEnds {
		h.counts.Ends = append(h.counts.Ends, End{m.name, how, ledger.Clip(err.Error()), time.Since(h.since).Milliseconds()})
	}
}

func (h *holder) count(change func(*Counts)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.counts)
}

func (h *holder) snapshot() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts
	for _, k := range []*Kind{&c.Idle, &c.Active, &c.Data, &c.Writers} {
		k.Endings = maps.Clone(k.Endings)
	}
	c.Ends = slices.Clone(c.Ends)
	return c
}
