// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/clock"
)

// Wait is how long who has written a pill waits until the node's watchdog has acted for
// certain. Both count on clocks that nobody can set, but crystals differ: by less than one in
// a hundred, as NTP's own bound of 500 ppm goes, and by a tenth of a second for short times.
func (s Slot) Wait() time.Duration { return s.Limit + s.Limit/100 + 100*time.Millisecond }

// Send has a node end its life, and returns as soon as it is proved. By is who asks, for
// people. A pill that is there already is waited for as if it had been written now.
//
// Errors are ErrNoSlot, ErrTakenBack, ErrFormat, context.DeadlineExceeded at once if ctx
// ends before the node's time can be up, and etcd's: without a majority nobody is off.
func (s *Store) Send(ctx context.Context, node string, action Action, by string) (Proof, error) {
	for {
		proof, err := s.send(ctx, node, action, by)
		if !errors.Is(err, ErrConflict) {
			return proof, err
		}
	}
}

func (s *Store) send(ctx context.Context, node string, action Action, by string) (Proof, error) {
	seen, err := s.Look(ctx, node)
	switch {
	case err != nil:
		return "", err
	case !seen.Armed():
		return "", fmt.Errorf("%s cannot be asked: %w", node, ErrNoSlot)
	case seen.Off():
		return WasProved, nil
	}
	slot := *seen.Slot
	if end, ok := ctx.Deadline(); ok && time.Until(end) < slot.Wait() {
		return "", fmt.Errorf("%w: %s may live for %s without a sign, which is longer than there is to wait: raise power_timeout, and pcmk_reboot_timeout and pcmk_off_timeout with it",
			context.DeadlineExceeded, node, slot.Wait().Round(100*time.Millisecond))
	}
	pill := seen.Pill
	if pill == nil || pill.Life != slot.Life {
		pill = &Pill{ID: rand.Text(), Life: slot.Life, Action: action, By: by, At: time.Now().UTC().Truncate(time.Second)}
		value, err := encode(*pill)
		if err != nil {
			return "", err
		}
		// What was said about an older life goes, or nothing could be said about this one.
		if err := s.change(ctx, node, seen, clientv3.OpPut(s.pill(node), value), clientv3.OpDelete(s.word(node))); err != nil {
			return "", err
		}
	}
	written := s.clock.Now() // or earlier: time is never up too soon
	return s.proved(ctx, node, slot, *pill, written)
}

// proved waits for the end of a life.
func (s *Store) proved(ctx context.Context, node string, slot Slot, pill Pill, written clock.Time) (Proof, error) {
	const each = 100 * time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	var last error
	for {
		up := !s.clock.Now().Before(written.Add(slot.Wait()))
		proof, err := s.judge(ctx, node, pill, up)
		switch {
		case proof != "", errors.Is(err, ErrFormat), errors.Is(err, ErrTakenBack):
			return proof, err
		case err != nil:
			last = err // etcd may choose a leader: the node's time goes on
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("it is not known whether %s is off: %w", node, errors.Join(ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// judge says how it is known that a life is over for which a pill was written; up: that
// its time is up. Nothing: it is not known yet.
func (s *Store) judge(ctx context.Context, node string, pill Pill, up bool) (Proof, error) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := s.Look(ctx, node)
	switch {
	case err != nil:
		return "", err
	case t.Word != nil && t.Word.Life == pill.Life:
		return t.Word.Proof, nil
	case t.Slot != nil && t.Slot.Life != pill.Life:
		return NewLife, nil
	case t.Slot == nil || t.Pill == nil || t.Pill.ID != pill.ID:
		return "", fmt.Errorf("%s: %w", node, ErrTakenBack)
	case !up:
		return "", nil
	}
	// Only as long as the pill is there: one that was taken back may have been seen by nobody.
	if err := s.Tell(ctx, node, pill, TimeIsUp, t); err != nil {
		return "", err
	}
	return TimeIsUp, nil
}
