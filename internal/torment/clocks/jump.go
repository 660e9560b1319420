// SPDX-License-Identifier: Apache-2.0

package clocks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
)

// Jump is one way in which the clock jumps.
type Jump struct {
	Name  string
	Title string
	by    string // as date(1) wants it
	play  func(ctx context.Context, s *Stage, t *Try) error
}

// Try is what became of one jump.
type Try struct {
	Jump
	Number  int
	Verdict judge.Verdict
	// Gone is when the machine was last seen with something after its cable was cut, and
	// Taken when another node was first seen with it: both from the cut. 0: neither was to
	// be.
	Gone, Taken time.Duration
	Err         error
}

const (
	ahead, back = "+1 hour", "-1 hour"
	// some is longer than any lease, and all margins.
	some = lease + 2*margin + time.Second
)

// Jumps are all that are played, each ahead and back.
func Jumps() []Jump {
	var all []Jump
	for _, j := range []Jump{
		{"clock-owner", "of the node that has the group", "", owner},
		{"clock-other", "of a node that may take the group, and then does", "", other},
		{"clock-cut", "of the node that has the group, and it is cut off at once", "", cut},
	} {
		all = append(all,
			Jump{j.Name + "-ahead", "the clock jumps an hour ahead: " + j.Title, ahead, j.play},
			Jump{j.Name + "-back", "the clock jumps an hour back: " + j.Title, back, j.play})
	}
	return all
}

// Play has a pair of jumps, one of which takes the other's back, happen so many times
// each. The first goes back: certificates have just been made. Tell hears of each try.
func (s *Stage) Play(ctx context.Context, ahead, back Jump, tries int, tell func(Try)) error {
	var failed []error
	for i := range tries {
		pair := []Jump{back, ahead}
		if i%2 == 1 {
			pair = []Jump{ahead, back}
		}
		for _, j := range pair {
			t := Try{Jump: j, Number: i + 1}
			t.Err = s.try(ctx, &t)
			if t.Err != nil {
				failed = append(failed, fmt.Errorf("%s %d: %w", t.Name, t.Number, t.Err))
			}
			tell(t)
			if ctx.Err() != nil {
				return errors.Join(append(failed, ctx.Err())...)
			}
		}
	}
	return errors.Join(failed...)
}

func (s *Stage) try(ctx context.Context, t *Try) error {
	const patience = 4 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := t.play(ctx, s, t)
	if len(t.Verdict.Doubles) > 0 {
		err = errors.Join(err, fmt.Errorf("on two nodes: %v", t.Verdict.Doubles))
	}
	return err
}

// jump sets the machine's clock.
func (s *Stage) jump(ctx context.Context, by string) error {
	_, err := s.machine().Output(ctx, "date", "-s", by)
	return err
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// still jumps, and returns an error unless nothing at all happens.
func (s *Stage) still(ctx context.Context, t *Try, on *lab.Node) error {
	before, err := s.run(ctx, on)
	if err != nil {
		return err
	}
	began := time.Now()
	s.judge.Since(began) // what was missed until now is not this try's
	if err := errors.Join(s.jump(ctx, t.by), wait(ctx, some)); err != nil {
		return err
	}
	t.Verdict = s.judge.Since(began)
	after, err := s.run(ctx, on)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("something was started anew on %s: %q, before that %q", on.Name(), after, before)
	}
	for _, thing := range s.things() {
		if held := s.judge.Holders(thing, began); len(held) != 1 || held[0] != on.Name() {
			return fmt.Errorf("%s was seen on %q, want %s alone", thing.Name, held, on.Name())
		}
	}
	const most = time.Second // of a busy host; a move and back takes longer
	if t.Verdict.Silent > most {
		return fmt.Errorf("nobody answered for an address for %s", t.Verdict.Silent)
	}
	return s.settled(ctx, on)
}

func (*Stage) things() []judge.Thing {
	return []judge.Thing{{Kind: judge.Address, Name: address4}, {Kind: judge.Address, Name: address6}, {Kind: judge.Service, Name: unit}}
}

func owner(ctx context.Context, s *Stage, t *Try) error {
	if err := s.place(ctx, s.machine()); err != nil {
		return err
	}
	return s.still(ctx, t, s.machine())
}

// other has the group on a container, and moves it to the machine, whose clock is wrong
// by then every other time, and back.
func other(ctx context.Context, s *Stage, t *Try) error {
	if err := s.place(ctx, s.containers()[0]); err != nil {
		return err
	}
	began := time.Now()
	if err := s.still(ctx, t, s.containers()[0]); err != nil {
		return err
	}
	if err := s.place(ctx, s.machine()); err != nil {
		return err
	}
	err := s.place(ctx, s.containers()[0])
	silent := t.Verdict.Silent // of the jump; moves are silent for longer
	missed := t.Verdict.Missed
	t.Verdict = s.judge.Since(began)
	t.Verdict.Silent, t.Verdict.Missed = silent, t.Verdict.Missed+missed
	return err
}

// cut has the machine lose its lease just after the jump.
func cut(ctx context.Context, s *Stage, t *Try) (err error) {
	if err := s.place(ctx, s.machine()); err != nil {
		return err
	}
	if err := wait(ctx, time.Second); err != nil { // what comes to light late is not of the cut
		return err
	}
	began := time.Now()
	s.judge.Since(began)
	if err := s.jump(ctx, t.by); err != nil {
		return err
	}
	// With its cable in place: without a carrier it would let go at once, and not because
	// of its lease.
	if err := s.machine().Isolate(ctx); err != nil {
		return err
	}
	at := time.Now()
	waited := s.untilTaken(ctx, began)
	t.Verdict = s.judge.Since(began)
	errs := []error{waited, s.measure(t, began, at)}
	if err := s.machine().MendLink(ctx); err != nil {
		return errors.Join(append(errs, err)...)
	}
	// With the wrong clock it has to be let in again, by certificates that have times.
	return errors.Join(append(errs, s.settled(ctx, nil))...)
}

// untilTaken waits until another node has been seen with everything for a while, or
// should have been.
func (s *Stage) untilTaken(ctx context.Context, began time.Time) error {
	const most, look, while = 3 * lease, 100 * time.Millisecond, 2 * time.Second
	for deadline := time.Now().Add(most); time.Now().Before(deadline); {
		if err := wait(ctx, look); err != nil {
			return err
		}
		taken := 0
		for _, thing := range s.things() {
			for _, n := range s.containers() {
				if _, _, ok := s.judge.Times(thing, n.Name(), began); ok {
					taken++
				}
			}
		}
		if taken >= len(s.things()) {
			break
		}
	}
	return wait(ctx, while)
}

// measure says when the machine let go, and when somebody took over.
func (s *Stage) measure(t *Try, began, at time.Time) error {
	for _, thing := range s.things() {
		_, last, ok := s.judge.Times(thing, s.machine().Name(), began)
		if !ok {
			return fmt.Errorf("the machine was not seen with %s", thing.Name)
		}
		t.Gone = max(t.Gone, last.Sub(at))
		taken := time.Duration(0)
		for _, n := range s.containers() {
			if first, _, ok := s.judge.Times(thing, n.Name(), began); ok {
				taken = first.Sub(at)
			}
		}
		if taken == 0 {
			return fmt.Errorf("nobody has taken %s over", thing.Name)
		}
		if t.Taken == 0 || taken < t.Taken {
			t.Taken = taken
		}
	}
	// The last renewal was sent a third of a lease before the cut, or earlier if one came
	// late. The cut may cost etcd its leader, and a new one lets leases run anew.
	const soonest, latest = lease - lease/2 + margin, 2*lease + 2*margin
	switch {
	case t.Gone > lease:
		return fmt.Errorf("the machine let go %s after the cut, its lease is %s", t.Gone, lease)
	case t.Taken < soonest:
		return fmt.Errorf("taken over %s after the cut, which cannot be before %s", t.Taken, soonest)
	case t.Taken > latest:
		return fmt.Errorf("taken over as late as %s after the cut", t.Taken)
	}
	return nil
}
