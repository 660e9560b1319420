// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultGrace is how long a node may still be heard after its devices say that it is
// off: what was on its way, and what it takes to be noticed that nothing comes any more.
const DefaultGrace = 2 * time.Second

// Config is what a Fencer goes by.
type Config struct {
	Devices []Device
	// Node is the one that this process runs on; empty: none of the cluster.
	Node string
	// Answers says whether a node is heard, by whatever way there is: a node that is
	// cannot be off. It returns at once, and says yes as long as a node that runs may be
	// silent between two signs of life. Nil: nobody listens, and a device that switches
	// the wrong outlet off is believed.
	Answers func(ctx context.Context, node string) bool
	// Reached says whether anything answers to packets that are sent to a node: its kernel
	// does while all of its programs stand still, and then the node is on. It takes some
	// milliseconds at most, and is not asked about devices that leave a node on. Nil: as if
	// it said no.
	Reached func(ctx context.Context, node string) bool
	// Grace is how long a node may still be heard after it was proved off; 0:
	// [DefaultGrace].
	Grace time.Duration
	// Silence is how long Answers has to say no without a break, once a node was proved
	// off; 0: once is enough. It is for nodes that pause for longer than Answers allows
	// for, and delays each fencing by so much.
	Silence time.Duration
	Log     *slog.Logger // nil: nowhere
}

// Fencer fences nodes, one device after the other, and looks after the devices. There is
// one in a process: a node is fenced once at a time.
type Fencer struct {
	node    string
	answers func(ctx context.Context, node string) bool
	reached func(ctx context.Context, node string) bool
	grace   atomic.Int64 // nanoseconds
	silence time.Duration
	log     *slog.Logger

	// What tests put in the place of a program and of chance.
	call   func(ctx context.Context, d Device, action, node string) (answer, error)
	random func(most time.Duration) time.Duration

	mu      sync.Mutex
	devices []Device
	turns   map[string]*turn     // by device; they stay
	under   map[string]time.Time // nodes that are being fenced, since when
	changed chan struct{}        // closed when the devices are others
}

// New makes a Fencer. The error has all that is wrong with the devices.
func New(cfg Config) (*Fencer, error) {
	f := &Fencer{
		node: cfg.Node, answers: cfg.Answers, reached: cfg.Reached, silence: cfg.Silence, log: cfg.Log, call: call, random: upTo,
		turns: map[string]*turn{}, under: map[string]time.Time{}, changed: make(chan struct{}),
	}
	f.grace.Store(int64(cmp.Or(cfg.Grace, DefaultGrace)))
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f, f.Set(cfg.Devices)
}

// upTo is a span of time by chance, less than most.
func upTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

// Wait has all fencings allow a node to be heard for so long after it was proved off; see
// [Config.Grace].
func (f *Fencer) Wait(grace time.Duration) { f.grace.Store(int64(grace)) }

// Set gives other devices to a Fencer. What is under way goes on with the former ones.
// With an error nothing has changed.
func (f *Fencer) Set(devices []Device) error {
	var errs []error
	all := make([]Device, len(devices))
	seen := map[string]bool{}
	for i, d := range devices {
		all[i] = d.withDefaults()
		errs = append(errs, all[i].check())
		if seen[d.Name] {
			errs = append(errs, fmt.Errorf("there are two fence devices of the name %q", d.Name))
		}
		seen[d.Name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = all
	for name := range seen {
		if f.turns[name] == nil {
			f.turns[name] = newTurn()
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

// CanFence says whether there is a device for a node.
func (f *Fencer) CanFence(node string) bool { return len(f.levels(node)) > 0 }

// levels are the devices of a node, in the order in which they are asked.
func (f *Fencer) levels(node string) [][]Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	byLevel := map[int][]Device{}
	for _, d := range f.devices {
		if _, ok := d.Ports[node]; ok {
			byLevel[d.Level] = append(byLevel[d.Level], d)
		}
	}
	var all [][]Device
	for _, level := range slices.Sorted(maps.Keys(byLevel)) {
		all = append(all, byLevel[level])
	}
	return all
}

func (f *Fencer) turn(device string) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.turns[device]
}

// begin notes that a node is being fenced; the time is that of the one that is under way
// already.
func (f *Fencer) begin(node string) (since time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since, busy := f.under[node]; busy {
		return since, false
	}
	f.under[node] = time.Now()
	return f.under[node], true
}

func (f *Fencer) end(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.under, node)
}

// pause waits; the error is the context's.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
