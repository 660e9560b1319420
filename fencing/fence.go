// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Order is to fence a node.
type Order struct {
	Node string
	// Delay is waited before anything else: whoever has more to lose, shoots first.
	Delay time.Duration
	// Confirmed is called when the node is off for certain, before it is switched on
	// again; it is not called otherwise. It may be nil.
	Confirmed func(Result)
}

const (
	// respite is what a device gets after a failure before it is tried again: some let
	// nobody in for a moment.
	respite = time.Second
	// listen is how often a node is listened for.
	listen = 20 * time.Millisecond
)

// What ends the attempts of a device before their time.
var errGivenUp = errors.New("was given up, as another device of its level failed")

// Fence switches a node off, level by level, and on again where its devices are for
// that. It returns when all is done or ctx ends. Only one Fence of a node is under way at
// a time; another one fails at once.
func (f *Fencer) Fence(ctx context.Context, o Order) Result {
	r := &shooting{Fencer: f, node: o.Node, log: f.log.With("node", o.Node), result: Result{Node: o.Node}}
	since, ok := f.begin(o.Node)
	r.result.Began = time.Now()
	if !ok {
		return r.giveUp(fmt.Sprintf("it has been being fenced for %s", short(time.Since(since))))
	}
	defer f.end(o.Node)
	levels := f.levels(o.Node)
	if len(levels) == 0 {
		return r.giveUp("no fence device is for it")
	}
	if err := pause(ctx, o.Delay); err != nil {
		return r.giveUp("its fencing was broken off: " + err.Error())
	}
	for _, level := range levels {
		if !r.shoot(ctx, level) {
			continue
		}
		r.confirm(level)
		if o.Confirmed != nil {
			told := r.result
			told.Tries = slices.Clone(told.Tries)
			o.Confirmed(told)
		}
		r.switchOn(ctx)
		return r.result
	}
	if ctx.Err() != nil {
		return r.giveUp("its fencing was broken off: " + context.Cause(ctx).Error())
	}
	return r.giveUp(r.result.failures())
}

// shooting is one fencing of a node.
type shooting struct {
	*Fencer
	node string
	log  *slog.Logger

	mu     sync.Mutex
	result Result
	off    []Device // proved off, and on again when all is over
}

func (r *shooting) confirm(level []Device) {
	r.result.Confirmed, r.result.Level, r.result.Ended = true, level[0].Level, time.Now()
	for _, d := range level {
		r.result.By = append(r.result.By, d.Name)
	}
	r.result.Reason = r.result.verdict()
	r.log.Warn("fenced: "+r.result.Reason, "level", r.result.Level, "took", r.result.Took())
}

func (r *shooting) giveUp(why string) Result {
	r.result.Ended = time.Now()
	r.result.Reason = r.result.verdict() + ": " + why
	r.log.Error("not fenced: " + r.result.Reason)
	return r.result
}

// shoot has all devices of a level switch the node off, at once, and says whether it is
// off for certain.
func (r *shooting) shoot(ctx context.Context, level []Device) bool {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	good := make([]bool, len(level))
	for i, d := range level {
		wg.Go(func() {
			if good[i] = r.attempts(ctx, d); !good[i] {
				cancel(errGivenUp)
			}
		})
	}
	wg.Wait()
	for i, d := range level {
		if !good[i] {
			continue
		}
		r.off = append(r.off, d)
	}
	return ctx.Err() == nil && r.silent(ctx, level)
}

// attempts tells a device to switch the node off until it has, or was told often enough.
func (r *shooting) attempts(ctx context.Context, d Device) bool {
	for n := 1; n <= d.Attempts; n++ {
		wait := d.Delay
		if d.DelayRandom > 0 {
			wait += r.random(d.DelayRandom)
		}
		if n > 1 {
			wait += respite
		}
		if pause(ctx, wait) != nil {
			return false
		}
		began := time.Now()
		err := r.switchOff(ctx, d)
		r.note(Try{Device: d.Name, Level: d.Level, Action: d.ends(), Attempt: n, Began: began}, err)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return false
}

// note keeps a try and logs it.
func (r *shooting) note(t Try, err error) {
	t.Took = time.Since(t.Began)
	if err != nil {
		t.Err = err.Error()
	}
	r.mu.Lock()
	r.result.Tries = append(r.result.Tries, t)
	r.mu.Unlock()
	if err != nil {
		r.log.Warn("fence device failed", "device", t.Device, "action", t.Action, "level", t.Level, "attempt", t.Attempt, "took", t.Took, "err", err)
		return
	}
	r.log.Info("fence device succeeded", "device", t.Device, "action", t.Action, "level", t.Level, "attempt", t.Attempt, "took", t.Took)
}

// switchOff is one attempt: off, and the proof of it, or a reboot that is its own proof,
// within the device's timeout.
func (r *shooting) switchOff(ctx context.Context, d Device) error {
	release, err := r.turn(d.Name).take(ctx)
	if err != nil {
		return fmt.Errorf("was not asked: %w", err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	a, err := r.call(ctx, d, d.ends(), r.node)
	what := "switch off"
	if d.cycles() {
		what = "reboot"
	}
	switch {
	case errors.Is(err, errLate):
		return fmt.Errorf("did not %s within %s", what, short(d.Timeout))
	case err != nil:
		return err
	case a.code != codeOK:
		return fmt.Errorf("failed to %s: %s", what, a.why())
	case d.cycles():
		return nil
	}
	return r.prove(ctx, d)
}

// prove asks for the status until it is off. No other answer counts for that, nor none.
func (r *shooting) prove(ctx context.Context, d Device) error {
	var seen error
	for {
		a, err := r.call(ctx, d, askStatus, r.node)
		switch {
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return context.Cause(ctx)
		case ctx.Err() != nil && seen == nil:
			return fmt.Errorf("says that it switched off, and tells no status within %s", short(d.Timeout))
		case ctx.Err() != nil:
			return seen
		case err != nil:
			seen = fmt.Errorf("says that it switched off, and its status cannot be told: %w", err)
		case a.code == codeOff:
			return nil
		case a.code == codeOK:
			seen = errors.New("says that it switched off, and that the outlet is on")
		default:
			seen = fmt.Errorf("says that it switched off, and its status cannot be told: %s", a.why())
		}
		if err := pause(ctx, d.Verify); errors.Is(err, context.DeadlineExceeded) {
			return seen
		} else if err != nil {
			return err
		}
	}
}

// heard says whether there is any sign of life of the node, after a level's devices said
// that it is off.
func (r *shooting) heard(ctx context.Context, level []Device) bool {
	if r.answers != nil && r.answers(ctx, r.node) {
		return true
	}
	mute := slices.ContainsFunc(level, func(d Device) bool { return !d.LeavesOn })
	return mute && r.reached != nil && r.reached(ctx, r.node)
}

// silent says whether nothing is heard of the node any more, by the end of the grace.
func (r *shooting) silent(ctx context.Context, level []Device) bool {
	if r.answers == nil && r.reached == nil {
		return true
	}
	began := time.Now()
	var quiet time.Time // since when
	for {
		var err error
		switch now := time.Now(); {
		case !r.heard(ctx, level):
			if quiet.IsZero() {
				quiet = now
			}
			if now.Sub(quiet) >= r.silence {
				return true
			}
		case now.Sub(began) >= time.Duration(r.grace.Load()):
			err = errors.New("says off, and the node still answers: is it the right outlet? It was left off, whatever hangs on it")
			if !slices.ContainsFunc(level, func(d Device) bool { return !d.cycles() }) {
				err = errors.New("says that it rebooted the node, which still answers, or answers again")
			}
		default:
			quiet = time.Time{}
		}
		if err == nil {
			err = pause(ctx, listen)
		}
		if err == nil {
			continue
		}
		for _, d := range level {
			r.note(Try{Device: d.Name, Level: d.Level, Action: d.ends(), Began: began}, err)
		}
		return false
	}
}
