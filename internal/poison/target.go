// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// Guard is the node's watchdog, armed: a watchdog.Guard.
type Guard interface {
	// Feed feeds it unless that could keep the node alive for longer than safe says.
	Feed(safe func() time.Duration) (fed bool, err error)
	// Timeout is after what time without being fed it resets the node.
	Timeout() time.Duration
	Disarm() error
}

// End is how a node ends its life.
type End interface {
	// Still has everything stand still on the node but this program, and says so when it
	// is proved.
	Still(ctx context.Context) error
	// Now ends the node. It does not return if it succeeds.
	Now(Action) error
}

// Target is a node that can be asked. All fields but Log have to be set.
type Target struct {
	Store *Store
	Node  string
	Life  string        // the boot
	Limit time.Duration // see [Slot]; what the watchdog is armed for
	// Arm opens the node's watchdog. To open one that runs is to feed it, so nobody may
	// before a look has found no pill.
	Arm func() (Guard, error)
	End End
	// Tell is told of what the service manager should know, in a few words: sd_notify(3).
	Tell func(string)
	Log  *slog.Logger
}

// Times of the target's.
const (
	// FeedEach is how often the watchdog is fed, if it may be.
	FeedEach = 200 * time.Millisecond
	lookEach = 500 * time.Millisecond
	// lookFor is how long an answer may take: a look that takes longer is made anew, as
	// its member of etcd may be the one that is gone.
	lookFor = time.Second
)

// ErrPoisoned: a pill was found, and the node did not end by it. Its watchdog is not fed
// any more.
var ErrPoisoned = errors.New("this node has to end, and does not")

// Run keeps the slot until ctx ends. Then it leaves in good order: the slot is removed and
// the watchdog disarmed. If the slot cannot be removed within leaveFor, the watchdog runs
// on, because others may count on it.
func (t *Target) Run(ctx context.Context, leaveFor time.Duration) error {
	pill, table, began := t.first(ctx)
	switch {
	case pill != nil:
		return t.take(context.WithoutCancel(ctx), *pill, table)
	case ctx.Err() != nil:
		return nil
	}
	l := &life{limit: t.Limit}
	if err := t.rise(ctx, table); err != nil {
		return err
	}
	if s := table.Slot; table.Armed() && s.Life == t.Life {
		l.limit = min(l.limit, s.Limit) // until another one is written
	}
	l.seen(began)
	guard, err := t.Arm()
	if err != nil {
		return err
	}
	feeding, stop := context.WithCancel(context.WithoutCancel(ctx))
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		t.feed(feeding, guard, l.left)
	}()
	end := func() { // nobody feeds it any more
		stop()
		<-fed
	}
	defer end()
	pill, table = t.keep(ctx, l, guard)
	if pill == nil {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
		defer cancel()
		pill, table, err = t.leave(leaving, l)
	}
	end()
	switch {
	case pill != nil:
		return t.take(context.WithoutCancel(ctx), *pill, table)
	case err != nil:
		return fmt.Errorf("the watchdog runs on, and this node is reset within %s, because it cannot be written down that it leaves: %w", t.Limit, err)
	}
	return guard.Disarm()
}

// life is for how long the node may live.
type life struct {
	mu    sync.Mutex
	began clock.Time // of the last look that found no pill
	limit time.Duration
}

func (l *life) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.began.Add(l.limit).Sub(clock.Boot{}.Now())
}

func (l *life) seen(began clock.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = began
}

func (l *life) agree(limit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

// first looks until etcd answers for the first time.
func (t *Target) first(ctx context.Context) (*Pill, Table, clock.Time) {
	told := false
	for {
		began := clock.Boot{}.Now()
		table, err := t.look(ctx)
		if err == nil {
			return t.mine(table), table, began
		}
		if !told && ctx.Err() == nil {
			told = true
			t.Log.Warn("etcd does not answer yet", "error", err)
		}
		if !pause(ctx) {
			return nil, table, began
		}
	}
}

// rise has nobody count on the watchdog of a former life, before there is one of this.
func (t *Target) rise(ctx context.Context, table Table) error {
	if table.Slot == nil || table.Slot.Life == t.Life {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	if err := t.Store.Rise(ctx, t.Node, t.Life); err != nil {
		return fmt.Errorf("write down that this is another life of the node: %w", err)
	}
	return nil
}

// mine is the pill that is for this life. Who is taken for dead has to be: a machine that
// was suspended may find its end told, and the pill taken back.
func (t *Target) mine(table Table) *Pill {
	switch {
	case table.Pill != nil && table.Pill.Life == t.Life:
		return table.Pill
	case table.Word != nil && table.Word.Life == t.Life:
		return &Pill{ID: table.Word.Pill, Life: t.Life, Action: Reboot, By: "nobody any more"}
	}
	return nil
}

// leave removes the slot, and goes on to look until it is removed.
func (t *Target) leave(ctx context.Context, l *life) (*Pill, Table, error) {
	for {
		began := clock.Boot{}.Now()
		table, err := t.look(ctx)
		if err == nil {
			if p := t.mine(table); p != nil {
				return p, table, nil
			}
			l.seen(began)
			asking, cancel := context.WithTimeout(ctx, lookFor)
			err = t.Store.Leave(asking, t.Node, t.Life, table)
			cancel()
		}
		if err == nil {
			return nil, table, nil
		}
		if !pause(ctx) {
			return nil, table, err
		}
	}
}

// pause waits until the next look, unless ctx ends.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(lookEach)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (t *Target) look(ctx context.Context) (Table, error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	return t.Store.Look(ctx, t.Node)
}

// keep looks until ctx ends or there is a pill.
func (t *Target) keep(ctx context.Context, l *life, guard Guard) (*Pill, Table) {
	kept, wrong := false, ""
	for {
		began := clock.Boot{}.Now()
		table, err := t.look(ctx)
		if err == nil {
			if p := t.mine(table); p != nil {
				return p, table
			}
			err = t.confirm(ctx, table, kept)
		}
		switch {
		case ctx.Err() != nil:
			return nil, table
		case err == nil:
			l.seen(began)
			if wrong != "" {
				t.Log.Info("etcd answers again")
			}
			if wrong = ""; !kept {
				kept = true
				l.agree(t.Limit)
				t.Log.Info("this node can be asked to end", "node", t.Node, "limit", t.Limit, "watchdog", guard.Timeout())
				t.Tell("READY=1\nSTATUS=this node can be fenced through etcd")
			}
		case err.Error() != wrong && l.left() < t.Limit*2/3: // one late answer is nothing
			wrong = err.Error()
			t.Log.Error("this node is reset unless etcd says in time that it may live", "left", l.left().Round(time.Millisecond), "error", err)
		}
		if !pause(ctx) {
			return nil, table
		}
	}
}

// confirm sees that others can know what this node's silence is worth: only then does a
// look count that found no pill.
func (t *Target) confirm(ctx context.Context, table Table, kept bool) error {
	switch s := table.Slot; {
	case table.Armed() && s.Life == t.Life && s.Limit == t.Limit:
		return nil
	case s != nil && s.Life != t.Life && kept:
		return fmt.Errorf("another machine keeps the slot of node %s: two have the same name", t.Node)
	}
	// It is of a former life, or there is none; or etcd was restored.
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	return t.Store.Keep(ctx, t.Node, Slot{Life: t.Life, Limit: t.Limit, Since: time.Now().UTC().Truncate(time.Second)}, table)
}

func (t *Target) feed(ctx context.Context, guard Guard, left func() time.Duration) {
	tick := time.NewTicker(FeedEach)
	defer tick.Stop()
	wrong := ""
	for {
		if _, err := guard.Feed(left); err != nil && err.Error() != wrong {
			wrong = err.Error()
			t.Log.Error("the watchdog cannot be fed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take ends the node. Nobody feeds its watchdog any more, whatever comes of the rest.
func (t *Target) take(ctx context.Context, p Pill, table Table) error {
	t.Log.Warn("this node ends: it was asked to", "by", p.By, "action", p.Action)
	ctx, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	if err := t.End.Still(ctx); err != nil {
		// Then nothing is said: others wait until the watchdog has acted for certain.
		t.Log.Error("not all of this node stands still", "error", err)
		return errors.Join(ErrPoisoned, err, t.End.Now(p.Action))
	}
	t.say(ctx, p, table)
	return errors.Join(ErrPoisoned, t.End.Now(p.Action))
}

// say writes the last word. This node's own member of etcd stands still: another has to
// be found, and maybe to lead first.
func (t *Target) say(ctx context.Context, p Pill, table Table) {
	const most, each = 4 * time.Second, 400 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, each)
		err := t.Store.Tell(asking, t.Node, p, LastWord, table)
		if err != nil {
			if again, lookErr := t.Store.Look(asking, t.Node); lookErr == nil {
				table = again
				if again.Word != nil && again.Word.Life == p.Life {
					err = nil // it was written, and the answer lost
				}
			}
		}
		cancel()
		if err == nil {
			return
		}
	}
}
