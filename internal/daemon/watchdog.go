// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mailha/mailha/fencing/watchdog"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/failover"
	"github.com/mailha/mailha/resources"
)

// feedEach is how often the node's watchdog is fed, if it may be.
const feedEach = 200 * time.Millisecond

// hound is the node's watchdog. All of it can be asked where none is armed.
type hound struct {
	guard *watchdog.Guard // nil: none
	mode  resources.WatchdogMode
	log   *slog.Logger
	hang  time.Duration // for how long the control loop may not go round
	acts  time.Duration // after what time without being fed
	clock clock.Boot
	safe  atomic.Pointer[func() time.Duration] // of the control loop, once it runs
	round atomic.Int64                         // when the loop last went round
	fail  atomic.Pointer[func(error)]

	stop context.CancelFunc
	fed  sync.WaitGroup
}

// calm is the longest timeout with which every renewal that is confirmed in time feeds
// the device: an attempt may take a sixth of the lease (state.Lease).
func calm(c *resources.Cluster) time.Duration {
	const attempts = 6
	d := c.Lease + c.Margin - watchdog.Lateness - c.Lease/attempts - 2*feedEach
	return max(d.Truncate(time.Second), time.Second)
}

// terms are what is asked of a device.
func terms(c *resources.Cluster, d watchdog.Device) watchdog.Terms {
	t := watchdog.Terms{Lease: c.Lease, Margin: c.Margin, Timeout: c.Watchdog.Timeout, Interval: feedEach}
	if t.Timeout == 0 {
		t.Timeout = calm(c)
		if d.Max > 0 {
			t.Timeout = min(t.Timeout, d.Max)
		}
	}
	return t
}

// kennel is where devices come from.
type kennel struct {
	find    func() ([]watchdog.Device, error)
	look    func(string) (watchdog.Device, error)
	holders func(string) ([]watchdog.Holder, error)
	arm     func(watchdog.Device, watchdog.Terms) (*watchdog.Guard, error)
}

func machine() kennel {
	return kennel{watchdog.Find, watchdog.Look, watchdog.Holders, watchdog.Arm}
}

func (k kennel) devices(c resources.Watchdog) ([]watchdog.Device, error) {
	if c.Device == "" {
		return k.find()
	}
	d, err := k.look(c.Device)
	return []watchdog.Device{d}, err
}

// armed arms the node's watchdog, if the configuration wants it, and begins to feed it.
// Bare says whether something of a former daemon's is here. It returns an error if the
// node is not to own anything.
func (k kennel) armed(ctx context.Context, c *resources.Cluster, n resources.Node, bare func(context.Context) error, log *slog.Logger) (*hound, error) {
	h := &hound{mode: c.Watchdog.Mode, log: log, hang: c.Lease, stop: func() {}}
	if h.mode == resources.WatchdogOff || n.Witness {
		return h, nil
	}
	devices, err := k.devices(c.Watchdog)
	if err == nil {
		err = k.first(h, c, devices, bare(ctx))
	}
	var running *leftRunning
	switch {
	case errors.As(err, &running):
		return nil, err
	case err != nil && h.mode == resources.WatchdogRequired:
		return nil, fmt.Errorf("this node runs nothing without a watchdog (mode = \"required\"): %w", err)
	case errors.Is(err, watchdog.ErrNoDevice):
		log.Info("no watchdog guards this node: it has no device")
	case err != nil:
		log.Warn("no watchdog guards this node", "error", err)
	default:
		log.Info("a watchdog guards this node", "device", h.guard.Device().String(), "timeout", h.acts)
		if t := h.acts; t > calm(c) {
			log.Warn("the watchdog's timeout is long for the lease: a slow etcd may cost the node", "timeout", t, "better", calm(c))
		}
		h.begin(ctx)
	}
	return h, nil
}

// leftRunning: a former daemon's device goes on to count, and rightly so.
type leftRunning struct {
	device watchdog.Device
	left   error
}

func (e *leftRunning) Error() string {
	return fmt.Sprintf("watchdog %s: it runs since a former daemon, and may not be fed: %v; this node is reset unless that is stopped", e.device, e.left)
}

// first arms the first device that can be. To open one is to feed it, which nobody may
// who does not know under which lease that is what was left.
func (k kennel) first(h *hound, c *resources.Cluster, devices []watchdog.Device, left error) error {
	var errs []error
	for _, d := range devices {
		if left != nil {
			if others, err := k.holders(d.Path); d.Active && err == nil && len(others) == 0 {
				return &leftRunning{d, left}
			}
			errs = append(errs, fmt.Errorf("watchdog %s is not armed: %w", d, left))
			continue
		}
		guard, err := k.arm(d, terms(c, d))
		if err == nil {
			h.guard, h.acts = guard, guard.Timeout()
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// begin feeds the device until end is called, whatever becomes of ctx.
func (h *hound) begin(ctx context.Context) {
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.fed.Go(func() { h.feed(ctx) })
}

func (h *hound) feed(ctx context.Context) {
	tick := time.NewTicker(feedEach)
	defer tick.Stop()
	wrong := ""
	hungry := clock.Time(0) // since when
	told := false
	for {
		fed, err := h.guard.Feed(h.left)
		now := h.clock.Now()
		switch {
		case err != nil:
			if text := err.Error(); text != wrong {
				wrong = text
				h.log.Error("the watchdog cannot be fed", "error", err)
			}
			if fail := h.fail.Load(); fail != nil && h.mode == resources.WatchdogRequired {
				(*fail)(fmt.Errorf("this node runs nothing without a watchdog (mode = \"required\"): %w", err))
			}
		case fed:
			if told {
				h.log.Info("the watchdog is fed again", "after", now.Sub(hungry))
			}
			wrong, hungry, told = "", 0, false
		case hungry == 0:
			hungry = now // which is usual between two renewals
		case !told && now.Sub(hungry) > h.acts/2:
			told = true
			h.log.Error("the watchdog is not fed: this node is reset soon, unless its lease is renewed or all that it has is stopped", "since", now.Sub(hungry), "timeout", h.acts)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// left is for how long from now the node may live.
func (h *hound) left() time.Duration {
	safe := h.safe.Load()
	switch {
	case safe != nil:
		looped := clock.Time(h.round.Load()).Add(h.acts + watchdog.Lateness + h.hang)
		return min((*safe)(), looped.Sub(h.clock.Now()))
	default:
		return watchdog.Forever // it was armed on a bare node, and nothing was started since
	}
}

// follow has it go by a control loop from now on: for how long that is safe. Fail is
// told if the device guards nothing any more and the node needs one.
func (h *hound) follow(safe func() time.Duration, fail func(error)) {
	h.alive()
	h.fail.Store(&fail)
	h.safe.Store(&safe)
}

// alive is told that the control loop has gone round.
func (h *hound) alive() { h.round.Store(int64(h.clock.Now())) }

// end disarms the device if nothing is left here; else it runs on without being fed. It
// does nothing the second time.
func (h *hound) end() {
	h.stop()
	h.fed.Wait()
	guard := h.guard
	h.guard = nil
	if guard == nil {
		return
	}
	if safe := h.safe.Load(); safe != nil && (*safe)() != failover.Forever {
		h.log.Error("the watchdog runs on: it is not proved that nothing is left on this node, which is reset soon", "timeout", guard.Timeout())
		return
	}
	if err := guard.Disarm(); err != nil {
		h.log.Error("the watchdog was not disarmed", "error", err)
	}
}
