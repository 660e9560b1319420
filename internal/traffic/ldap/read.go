// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/ending"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// ReadCounts tells what a reader has found. It is its progress line and its summary.
type ReadCounts struct {
	Entries int                   `json:"entries"`
	Writes  int                   `json:"writes"`            // recorded in the ledger
	Refused int                   `json:"refused"`           // binds and searches
	Endings map[ending.Ending]int `json:"endings,omitempty"` // of sessions, and of attempts to get one
}

// StartRead starts a process that reads what writers have written.
func StartRead(ctx context.Context, run tool.Command, cfg ReadConfig) (tool.Running[ReadCounts], error) {
	return tool.StartRunning[ReadCounts](ctx, run, &cfg, "ldap-read")
}

// Read is the subcommand.
func Read(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg ReadConfig
	if err := t.Parse(&cfg, "ldap-read", args); err != nil {
		return err
	}
	password, err := cfg.Login.password()
	if err != nil {
		return err
	}
	file, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer file.Close()
	r := &reader{cfg: cfg, password: password}
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return r.snapshot() }, func(ctx context.Context) error { return r.run(ctx, file) })
}

// reader searches until it was told everything once.
type reader struct {
	cfg      ReadConfig
	password string

	mu     sync.Mutex
	counts ReadCounts
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

var errRefused = errors.New("refused")

// run writes down what a whole search found, and nothing of those that broke off.
func (r *reader) run(ctx context.Context, file *ledger.Ledger) error {
	const pause = 200 * time.Millisecond
	var why error
	for {
		entries, err := r.search(ctx)
		if err == nil {
			return r.record(entries, file)
		}
		if why == nil || ctx.Err() == nil { // that our time is over says nothing about the directory
			why = err
		}
		r.mu.Lock()
		if errors.Is(err, errRefused) {
			r.counts.Refused++
		} else {
			if r.counts.Endings == nil {
				r.counts.Endings = make(map[ending.Ending]int)
			}
			r.counts.Endings[ending.Of(err)]++
		}
		r.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("the directory was not read: %w", why)
		}
	}
}

func (r *reader) search(ctx context.Context) (entries []Entry, err error) {
	s, err := Dialer{To: r.cfg.To, ConnectTimeout: r.cfg.ConnectTimeout, ReplyTimeout: r.cfg.ReplyTimeout}.Open(ctx)
	if err != nil {
		return nil, err
	}
	refusal := ""
	if r.cfg.DN != "" {
		refusal, err = s.Bind(ctx, r.cfg.DN, r.password)
	}
	if err == nil && refusal == "" {
		refusal, err = s.Search(ctx, r.cfg.Base, ScopeSubtree, []string{mark}, func(e Entry) error {
			entries = append(entries, e)
			return nil
		})
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.Quit(ctx)
	if refusal != "" {
		return nil, fmt.Errorf("%w: %s", errRefused, refusal)
	}
	return entries, nil
}

func (r *reader) record(entries []Entry, file *ledger.Ledger) error {
	for _, e := range entries {
		writes := 0
		for _, value := range e.Values(mark) {
			id, hash, _ := strings.Cut(value, " ")
			if !letter.ValidID(id) {
				continue
			}
			if err := file.Append(ledger.Arrival{ID: id, Rcpts: []string{e.DN}, Size: len(value), Hash: hash, At: time.Now()}); err != nil {
				return err
			}
			writes++
		}
		r.mu.Lock()
		r.counts.Entries++
		r.counts.Writes += writes
		r.mu.Unlock()
	}
	return nil
}
