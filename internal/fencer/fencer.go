// SPDX-License-Identifier: Apache-2.0

package fencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// Devices are the fence devices; a fencing.Fencer has them.
type Devices interface {
	CanFence(node string) bool
	Fence(ctx context.Context, o fencing.Order) fencing.Result
}

// Records are a node's own way to write down its shots; a state.Session is one.
type Records interface {
	Aim(ctx context.Context, seen state.Shot, life state.SessionID, why string) (state.Shot, error)
	Hit(ctx context.Context, s state.Shot, device, why string, also ...state.Wish) (state.Shot, error)
	Miss(ctx context.Context, s state.Shot, phase state.ShotPhase, why string) (state.Shot, error)
}

// Config is what a Fencer goes by. Its functions must not wait.
type Config struct {
	Node    string
	Devices Devices
	// Records are nil as long as this node is not present.
	Records  func() Records
	Snapshot func() state.Snapshot
	Cluster  func() *resources.Cluster
	View     func() heartbeat.View
	Clock    func() clock.Time // that of promises
	// End takes back an operator's wish that was dealt with.
	End func(ctx context.Context, w state.Wish, by, why string) error
	// Told hears how each shot of this node's ended: Off, Missed or Spared.
	Told func(outcome state.ShotPhase)
	Log  *slog.Logger
}

// Fencer is this node's part in fencing others. Make it by New, and Run it once.
type Fencer struct {
	Config
	bell chan struct{}

	mu    sync.Mutex
	busy  map[string]bool      // nodes that this one is shooting at
	rests map[string]time.Time // of a node that was missed: when it may be tried again
	seen  map[string]time.Time // since when a node is to be fenced
	said  map[string]string
}

// New makes one that does nothing yet.
func New(cfg Config) *Fencer {
	return &Fencer{Config: cfg, bell: make(chan struct{}, 1), busy: map[string]bool{}, rests: map[string]time.Time{}, seen: map[string]time.Time{}, said: map[string]string{}}
}

// Ring says that there is something new: a snapshot, or a node that looks dead. It does
// not wait.
func (f *Fencer) Ring() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

// self is who ends what operators asked for, and asks for what follows.
const self = "mailhad"

const (
	stagger = time.Second      // between the nodes that could shoot
	respite = 10 * time.Second // after a shot that missed, and more with each
	most    = 5 * time.Minute  // of rest
	look    = time.Second      // though nothing has rung
)

// Run does this node's part until ctx ends, and waits for what it has begun.
func (f *Fencer) Run(ctx context.Context) {
	var shots sync.WaitGroup
	defer shots.Wait()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		next := f.look(ctx, &shots)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.bell:
		case <-tick.C:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look begins what is to be begun, and says when there may be more to do.
func (f *Fencer) look(ctx context.Context, shots *sync.WaitGroup) time.Duration {
	next := look
	records, snapshot := f.Records(), f.Snapshot()
	if records == nil || snapshot.Stale != nil {
		return next
	}
	s := scene{self: f.Node, cluster: f.Cluster(), state: snapshot, view: f.View(), now: time.Now(), boot: f.Clock()}
	targets := s.targets()
	f.forget(targets)
	for _, t := range targets {
		if !f.Devices.CanFence(t.node) {
			f.say(t.node, "it has no fence device: "+t.why)
			continue
		}
		turn, is := s.turn(t.node)
		if !is || s.taken(t.node) {
			continue
		}
		if wait := f.wait(t.node, turn, s.rest(t)); wait > 0 {
			next = min(next, wait)
			continue
		}
		shots.Go(func() { f.shoot(ctx, s, t, records) })
	}
	return next
}

// forget what was remembered of nodes that are not to be fenced any more.
func (f *Fencer) forget(targets []target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node := range f.seen {
		if !slices.ContainsFunc(targets, func(t target) bool { return t.node == node }) {
			delete(f.seen, node)
			delete(f.rests, node)
			delete(f.said, node)
		}
	}
}

// wait is how long this node has to, and not before what it rests until; 0: it is its turn,
// and it is marked as busy.
func (f *Fencer) wait(node string, turn int, rest time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	since, known := f.seen[node]
	if !known {
		since = now
		f.seen[node] = now
	}
	if f.busy[node] {
		return look
	}
	from := since
	for _, r := range []time.Time{rest, f.rests[node]} {
		if r.After(from) {
			from = r
		}
	}
	if wait := from.Add(time.Duration(turn) * stagger).Sub(now); wait > 0 {
		return wait
	}
	f.busy[node] = true
	return 0
}

func pause(tries int) time.Duration { return min(time.Duration(tries)*respite, most) }

func (f *Fencer) say(node, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said[node] != what {
		f.said[node] = what
		f.Log.Error("a node is lost and cannot be fenced", "node", node, "reason", what)
	}
}

// shoot has one node fenced, if this one is the quickest to write it down.
func (f *Fencer) shoot(ctx context.Context, s scene, t target, records Records) {
	const soon = 200 * time.Millisecond // until the record is seen that another one has written
	again := soon
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.busy, t.node)
		f.rests[t.node] = time.Now().Add(again)
		f.Ring()
	}()
	log := f.Log.With("node", t.node)
	seen := s.state.Shots[t.node]
	seen.Node = t.node
	const patience = 3 * time.Second // an election may be under way
	aiming, cancel := context.WithTimeout(ctx, patience)
	shot, err := records.Aim(aiming, seen, t.life, t.why)
	cancel()
	if errors.Is(err, state.ErrConflict) {
		log.Info("another node was quicker, or the node has come back", "error", err)
		return
	}
	if err != nil {
		log.Warn("the shot could not be written down, and is not fired", "error", err)
		return
	}
	if t.silent && !f.stillSilent(t) {
		log.Warn("not fenced: it was heard again")
		f.miss(ctx, records, shot, state.Spared, "it was heard again")
		return
	}
	log.Warn("fencing", "reason", t.why)
	hit := false
	result := f.Devices.Fence(ctx, fencing.Order{Node: t.node, Confirmed: func(r fencing.Result) {
		f.Told(state.Off)
		hit = f.hit(ctx, s, records, shot, r)
	}})
	switch {
	case !result.Confirmed:
		log.Error("could not be fenced", "reason", result.Reason, "tries", result.Lines())
		if !f.miss(ctx, records, shot, state.Missed, result.Reason) {
			again = pause(shot.Tries + 1) // which the record would have said
		}
	case !hit:
		again = pause(1)
		log.Error("it is off, and that could not be written down; it is fenced again")
	}
	if w, asked := s.asked(t.node); asked && !hit { // a hit ends it
		f.end(ctx, w, result)
	}
}

func (f *Fencer) end(ctx context.Context, w state.Wish, r fencing.Result) {
	why := "it is off: " + r.Reason
	if !r.Confirmed {
		why = "it could not be fenced: " + r.Reason
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := f.End(ctx, w, self, why); err != nil {
		f.Log.Warn("an operator's wish is not taken back", "wish", w, "error", err)
	}
}

func (f *Fencer) stillSilent(t target) bool {
	sight, known := f.View().Node(t.node)
	return known && sight.Condemned && state.SessionID(sight.Life) == t.life
}

// hit writes down that the node is off. A node that has to be fenced too often is kept
// from running anything until somebody has looked at it.
func (f *Fencer) hit(ctx context.Context, s scene, records Records, shot state.Shot, r fencing.Result) bool {
	var also []state.Wish
	c := f.Cluster()
	recent := 1
	for _, at := range shot.Past {
		if time.Since(at) < c.FencingsWindow {
			recent++
		}
	}
	if c.MaxFencings > 0 && recent >= c.MaxFencings && !s.standby(shot.Node) {
		why := fmt.Sprintf("it had to be fenced %d times within %s: find out why before it runs anything again", recent, resources.Span(c.FencingsWindow))
		also = append(also, state.Wish{Kind: state.Standby, Node: shot.Node, By: self, Why: why})
	}
	// What has happened has happened: it is written down as long as this node may write.
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	device := ""
	if len(r.By) > 0 {
		device = r.By[0]
	}
	if _, err := records.Hit(ctx, shot, device, r.Reason, also...); err != nil {
		f.Log.Error("a node is off, and nobody can be told", "node", shot.Node, "error", err)
		return false
	}
	return true
}

func (f *Fencer) miss(ctx context.Context, records Records, shot state.Shot, phase state.ShotPhase, why string) bool {
	f.Told(phase)
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if _, err := records.Miss(ctx, shot, phase, why); err != nil {
		f.Log.Warn("that a node was not fenced could not be written down", "node", shot.Node, "error", err)
		return false
	}
	return true
}
