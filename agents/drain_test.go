// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/vip"
)

// A drain of which not everything is known was not complete.
func TestDrainIncomplete(t *testing.T) {
	for name, tt := range map[string]struct {
		left int
		err  error
		want bool
	}{
		"all done":  {0, nil, true},
		"some left": {2, nil, false},
		"unknown":   {0, errors.New("cannot look"), false},
	} {
		s, _, steps := newDouble(t)
		steps.drain = func(context.Context) (int, error) { return tt.left, tt.err }
		if d := s.drain(t.Context(), record{}, time.Now().Add(time.Second)); d.Complete() != tt.want || !errors.Is(d.Err, tt.err) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// Sessions that cannot be counted are not none.
func TestDrainSessionsUnknown(t *testing.T) {
	s, _, _ := newDouble(t)
	rec := record{Facts: Facts{Ports: []uint16{9}}}
	if _, _, _, err := s.drainSessions(ended(t), rec, &progress{}); err == nil {
		t.Error("counted without time to look")
	}
}

// The work in hand has all of the drain's time.
func TestDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, steps := newDouble(t)
		var left time.Duration
		steps.drain = func(ctx context.Context) (int, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			return 0, nil
		}
		const all = 7 * time.Second
		if s.drain(t.Context(), record{}, time.Now().Add(all)); left != all {
			t.Errorf("%s of %s", left, all)
		}
	})
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Sessions that may not be ended do not keep others from their turn.
func TestFarewellsTakeTurns(t *testing.T) {
	var f farewells
	var sessions []vip.Session
	for i := range uint32(10) {
		sessions = append(sessions, vip.Session{Inode: i + 1, SinceSent: time.Minute, SinceReceived: time.Hour - time.Duration(i)*time.Minute})
	}
	sessions = append(sessions,
		vip.Session{Inode: 90, SinceSent: time.Millisecond, SinceReceived: idleAfter - 1},
		vip.Session{Inode: 93, SinceSent: hushed - 1, SinceReceived: time.Hour},
		vip.Session{Inode: 91, SinceSent: time.Hour, SinceReceived: time.Hour, Unread: 1},
		vip.Session{Inode: 92, SinceSent: time.Hour, SinceReceived: time.Minute})
	for _, want := range [][]uint32{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 1, 2}, {3, 4, 5, 6}} {
		var got []uint32
		for _, s := range f.next(sessions, idleAfter, 4) {
			got = append(got, s.Inode)
		}
		if !slices.Equal(got, want) {
			t.Errorf("want %d, got %d", want, got)
		}
	}
	if got := f.next(sessions[10:], idleAfter, 4); len(got) > 0 {
		t.Errorf("not idle: %v", got)
	}
}

// leaver is a service that can end its sessions, or cannot.
type leaver struct {
	doubleSteps
	err error
}

func (l *leaver) Dismiss(_ context.Context, _ Facts, idle []vip.Session) (int, error) {
	return len(idle), l.err
}

// Near the end of a drain a moment's pause is enough, and nobody has to wait for
// a turn.
func TestFarewellsBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		f := farewells{s: NewService(Env{Instance: "x", StateDir: t.TempDir()}, &leaver{}), began: time.Now()}
		var busy []vip.Session
		for i := range uint32(50) {
			busy = append(busy, vip.Session{Inode: i, SinceSent: closingAfter, SinceReceived: closingAfter})
		}
		if n := f.batch(ctx, busy, 50); n != 0 {
			t.Errorf("at the beginning: %d", n)
		}
		time.Sleep(21 * time.Second) // virtual
		if n := f.batch(ctx, busy, 50); n != 50 {
			t.Errorf("in the last third: %d", n)
		}
	})
}

// What fails for every batch in the same way is said once.
func TestFarewellsFail(t *testing.T) {
	var said bytes.Buffer
	steps := &leaver{err: errors.New("refused")}
	s := NewService(Env{Instance: "x", StateDir: t.TempDir(), Units: &doubleUnits{}, Log: slog.New(slog.NewTextHandler(&said, nil))}, steps)
	f := farewells{s: s}
	idle := []vip.Session{{Inode: 1, SinceSent: time.Hour, SinceReceived: time.Hour}}
	for range 3 {
		if n := f.batch(t.Context(), idle, 1); n != 1 {
			t.Errorf("ended %d", n)
		}
	}
	if got := strings.Count(said.String(), "refused"); got != 1 {
		t.Errorf("said %d times:\n%s", got, said.String())
	}
	if n := f.batch(t.Context(), nil, 1); n != 0 {
		t.Errorf("ended %d of none", n)
	}
}

// usher is a service that can say goodbye, and whose cuts leave nothing to repair.
type usher struct {
	recoverable
	shown []bool // whether there was time
}

func (u *usher) ShowOut(ctx context.Context, _ Facts) error {
	u.shown = append(u.shown, ctx.Err() == nil)
	return errors.New("one would not listen")
}
func (*usher) CutsCleanly() bool { return true }

// Clients that have to be cut are told before the unit is stopped, and others not;
// that some did not hear it is no harm, and no unclean end.
func TestShowOut(t *testing.T) {
	u := &usher{recoverable: recoverable{doubleSteps: doubleSteps{facts: Facts{Unit: "x.service"}}, dir: t.TempDir()}}
	s := NewService(Env{Instance: "x", StateDir: t.TempDir(), Units: &doubleUnits{}}, u)
	for _, tt := range []struct {
		d    Drained
		want int
	}{{Drained{Sessions: 3}, 0}, {Drained{Cut: 1}, 1}, {Drained{Err: errors.New("cannot count")}, 1}} {
		u.shown = nil
		s.showOut(t.Context(), Facts{}, tt.d, time.Now().Add(time.Minute))
		if len(u.shown) != tt.want || tt.want == 1 && !u.shown[0] {
			t.Errorf("%+v: shown %v", tt.d, u.shown)
		}
	}
	if s.showOut(t.Context(), Facts{}, Drained{Cut: 1}, time.Now()); u.shown[1] {
		t.Error("there was time where none was")
	}
	u.drain = func(context.Context) (int, error) { return 1, nil }
	cycle(t, s)
	cycle(t, s)
	if want := []bool{false, true}; !slices.Equal(u.clean, want) {
		t.Errorf("clean: %v, want %v", u.clean, want)
	}
}
