// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check is what was found when a device was asked how it is.
type Check struct {
	Device string `json:"device"`
	// OK says that it answers, and that it could be used at this moment.
	OK   bool          `json:"ok"`
	At   time.Time     `json:"at"`
	Took time.Duration `json:"took"` // nanoseconds
	// Reason is one sentence for people, without the end of it.
	Reason string `json:"reason"`
	// Ports are what it says of its nodes, in their order.
	Ports []Port `json:"ports,omitempty"`
}

// Port is what a device says of a node's outlet.
type Port struct {
	Node  string `json:"node"`
	Port  string `json:"port"`
	State string `json:"state"` // on, off or unknown
	Err   string `json:"err,omitempty"`
}

func (c Check) String() string { return fmt.Sprintf("fence device %s: %s", c.Device, c.Reason) }

// ErrYielded is that a device could not be checked because it is needed to fence.
var ErrYielded = errYielded

// ErrNoDevice is that there is no device of the name.
var ErrNoDevice = errors.New("there is no such fence device")

// Check asks a device how it is, and for the state of each node's outlet. The error is
// [ErrYielded], [ErrNoDevice] or the context's: then nothing is known of the device.
func (f *Fencer) Check(ctx context.Context, device string) (Check, error) {
	f.mu.Lock()
	i := slices.IndexFunc(f.devices, func(d Device) bool { return d.Name == device })
	if i < 0 {
		f.mu.Unlock()
		return Check{}, fmt.Errorf("%s: %w", device, ErrNoDevice)
	}
	d, t := f.devices[i], f.turns[device]
	f.mu.Unlock()
	ctx, release, err := t.look(ctx)
	if err != nil {
		return Check{}, err
	}
	defer release()
	c := Check{Device: d.Name, At: time.Now()}
	err = f.look(ctx, d, &c)
	if ctx.Err() != nil {
		return Check{}, context.Cause(ctx)
	}
	c.Took = time.Since(c.At)
	c.OK = err == nil
	if c.Reason = fmt.Sprintf("answers, in %s", short(c.Took)); err != nil {
		c.Reason = err.Error()
	}
	return c, nil
}

func (f *Fencer) look(ctx context.Context, d Device, c *Check) error {
	m, err := f.describe(ctx, d)
	if err != nil {
		return err
	}
	if problems := m.Problems(d); len(problems) > 0 {
		return errors.New(problems[0].String())
	}
	if _, ok := m.Action(askMonitor); ok {
		a, err := f.ask(ctx, d, askMonitor, "")
		if err != nil {
			return err
		}
		if a.code != codeOK && a.code != codeOff {
			return fmt.Errorf("does not answer as it should: %s", a.why())
		}
	}
	var wrong []string
	for _, node := range slices.Sorted(maps.Keys(d.Ports)) {
		p := Port{Node: node, Port: d.Ports[node], State: "unknown"}
		a, err := f.ask(ctx, d, askStatus, node)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			p.Err = err.Error()
		case a.code == codeOK:
			p.State = "on"
		case a.code == codeOff:
			p.State = "off"
			if node == f.node || f.answers != nil && f.answers(ctx, node) {
				p.Err = "says off, and the node runs: is it the right outlet?"
			}
		default:
			p.Err = "cannot tell the status: " + a.why()
		}
		if p.Err != "" {
			wrong = append(wrong, fmt.Sprintf("outlet %s of node %s: %s", p.Port, node, p.Err))
		}
		c.Ports = append(c.Ports, p)
	}
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// ask is one question of a check.
func (f *Fencer) ask(ctx context.Context, d Device, action, node string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	a, err := f.call(ctx, d, action, node)
	if errors.Is(err, errLate) {
		err = fmt.Errorf("did not answer within %s", short(d.Timeout))
	}
	return a, err
}

func (f *Fencer) describe(ctx context.Context, d Device) (*Metadata, error) {
	a, err := f.ask(ctx, d, askMetadata, "")
	if err != nil {
		return nil, err
	}
	if a.code != codeOK {
		return nil, fmt.Errorf("agent %s tells no metadata: %s", d.Agent, a.why())
	}
	return ParseMetadata([]byte(a.out))
}

const (
	// soon is how long a device that failed, or had to be left alone, is left alone.
	soon = 5 * time.Minute
	// spread is by how much of its interval a check may come earlier: nodes that begin
	// together do not stay together.
	spread = 10
)

// Watch checks each device at once and then again after its interval, one that failed
// sooner, until ctx ends. told hears of every check, one at a time.
func (f *Fencer) Watch(ctx context.Context, told func(Check)) {
	due := map[string]time.Time{}
	var mu sync.Mutex // guards due and told
	for ctx.Err() == nil {
		f.mu.Lock()
		devices, changed := f.devices, f.changed
		f.mu.Unlock()
		var wg sync.WaitGroup
		for _, d := range devices {
			mu.Lock()
			now := !time.Now().Before(due[d.Name])
			mu.Unlock()
			if !now {
				continue
			}
			wg.Go(func() {
				c, err := f.Check(ctx, d.Name)
				next := d.CheckInterval
				if err != nil || !c.OK {
					next = min(next, soon)
				}
				mu.Lock()
				defer mu.Unlock()
				due[d.Name] = time.Now().Add(next - f.random(next/spread))
				if err == nil && ctx.Err() == nil {
					told(c)
				}
			})
		}
		wg.Wait()
		timer := time.NewTimer(f.next(devices, due))
		select {
		case <-timer.C:
		case <-changed:
			clear(due)
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next is how long nothing is due.
func (f *Fencer) next(devices []Device, due map[string]time.Time) time.Duration {
	wait := 24 * time.Hour
	for _, d := range devices {
		wait = min(wait, time.Until(due[d.Name]))
	}
	return max(wait, time.Millisecond)
}
