// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Guard is a device that is armed. Its methods may be called from several goroutines.
type Guard struct {
	device  Device
	terms   Terms
	timeout time.Duration // as the device has taken it

	mu     sync.Mutex
	handle handle
	hurry  bool // the timeout is shorter than that
	over   error
}

// ErrOver means that the guard was disarmed.
var ErrOver = errors.New("the watchdog is not armed")

// ErrStops means that a device stops when its process dies, so that it guards nothing.
var ErrStops = errors.New("the watchdog device stops when its process dies: load its driver with nowayout=1, or use another device")

// Arm opens a device, which starts it, and asks it for the timeout of the terms. The
// device may have taken another one: [Guard.Timeout] says which. If that does not fit, or
// the device guards nothing, it is disarmed again.
//
// Errors are ErrBusy, which names the holder; ErrTerms; ErrStops; or the kernel's.
func Arm(d Device, t Terms) (*Guard, error) { return arm(d, t, open, Look) }

func arm(d Device, t Terms, open func(string) (handle, error), look func(string) (Device, error)) (*Guard, error) {
	g, err := try(d, t, open, look)
	if err != nil {
		return nil, fmt.Errorf("watchdog %s: %w", d, err)
	}
	return g, nil
}

func try(d Device, t Terms, open func(string) (handle, error), look func(string) (Device, error)) (*Guard, error) {
	// First what can be known without starting it: some cannot be stopped.
	if d.known && d.Stops {
		return nil, ErrStops
	}
	want := t.wanted(d)
	if d.Min > 0 {
		want = max(want, d.Min)
	}
	if err := t.fits(want); err != nil {
		return nil, err
	}
	if d.Max > 0 && want > d.Max {
		return nil, fmt.Errorf("%w: the device takes a timeout of %s at most", ErrTerms, d.Max)
	}
	h, err := open(d.Path)
	if err != nil {
		return nil, err
	}
	g, err := take(d, t, h, want)
	if err == nil {
		return g, nil
	}
	return nil, errors.Join(err, release(h, d, look))
}

// take has an open device do what the terms want.
func take(d Device, t Terms, h handle, want time.Duration) (*Guard, error) {
	identity, flags, err := h.Support()
	if err != nil {
		return nil, err
	}
	d.Identity = identity
	if flags&magicClose == 0 && !d.NoWayOut {
		return nil, ErrStops
	}
	took, err := h.SetTimeout(want)
	if err != nil {
		return nil, err
	}
	if err := t.fits(took); err != nil {
		return nil, fmt.Errorf("it was asked for %s and has taken %s: %w", want, took, err)
	}
	if err := h.Feed(); err != nil {
		return nil, err
	}
	return &Guard{device: d, terms: t, timeout: took, handle: h}, nil
}

// release disarms a device, and makes sure of it. One that cannot be disarmed is given
// the longest time that it takes, for another process to come and feed it.
func release(h handle, d Device, look func(string) (Device, error)) error {
	if d.NoWayOut {
		text := ""
		if took, err := h.SetTimeout(max(d.Max, time.Minute)); err == nil {
			text = fmt.Sprintf(": the machine is reset in %s unless it is fed", took)
		}
		return errors.Join(fmt.Errorf("%w%s", ErrNoWayOut, text), h.Leave())
	}
	if err := h.Stop(); err != nil {
		return err
	}
	if now, err := look(d.Path); err == nil && now.Active {
		return fmt.Errorf("%w: it runs on after it was disarmed", ErrNoWayOut)
	}
	return nil
}

// Device is the one that is armed.
func (g *Guard) Device() Device { return g.device }

// Timeout is after what time without being fed it resets the machine.
func (g *Guard) Timeout() time.Duration { return g.timeout }

// Left is how long it runs on unless it is fed, in whole seconds; ok is false if the
// device does not know.
func (g *Guard) Left() (d time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over != nil {
		return 0, false
	}
	d, err := g.handle.Left()
	return d, err == nil
}

// Forever is what a node may live that holds nothing which others could take over.
const Forever = time.Duration(1<<63 - 1)

// Feed feeds the device, unless that could keep the node alive for longer than it may
// live: safe tells how long from now that is, on a clock that runs during suspend, and is
// [Forever] once it has let go of everything and proved it. fed is false if it is too
// late; nothing is to be done then but to go on letting go, and to call Feed again.
//
// It asks safe twice. If this process stood still between the question and the
// feeding, the device is told to act sooner: within what is left, or within its shortest
// time. An error means that the device guards nothing any more.
func (g *Guard) Feed(safe func() time.Duration) (fed bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over != nil {
		return false, g.over
	}
	if !g.within(safe()) {
		return false, nil
	}
	if g.hurry {
		if err := g.set(g.timeout); err != nil {
			return false, err
		}
		g.hurry = false
	}
	if err := g.handle.Feed(); err != nil {
		return false, g.fail(err)
	}
	left := safe()
	if g.within(left) {
		return true, nil
	}
	g.hurry = true
	return false, g.set(max((left - Lateness).Truncate(time.Second), g.device.Min, time.Second))
}

// within says whether a node that is reset a timeout from now is reset soon enough.
func (g *Guard) within(left time.Duration) bool { return left-Lateness >= g.timeout }

// set changes the timeout, which starts it anew.
func (g *Guard) set(d time.Duration) error {
	if _, err := g.handle.SetTimeout(d); err != nil {
		return g.fail(err)
	}
	return nil
}

func (g *Guard) fail(err error) error {
	return fmt.Errorf("watchdog %s: %w", g.device, err)
}

// Disarm stops the device. Only who has proved that nothing is left here that others
// could take over may call it: from then on nobody resets a node that cannot let go.
//
// ErrNoWayOut: it runs on, with the longest timeout that it takes.
func (g *Guard) Disarm() error { return g.disarm(Look) }

func (g *Guard) disarm(look func(string) (Device, error)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over != nil {
		return nil
	}
	g.over = ErrOver
	if err := release(g.handle, g.device, look); err != nil {
		return fmt.Errorf("watchdog %s: disarm: %w", g.device, err)
	}
	return nil
}
