// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
)

// Units is systemd, as the loop needs it; a [unit.Manager] has it.
type Units interface {
	agents.Units
	Watch(ctx context.Context, name string, f func(unit.State)) error
}

// bell wakes those who asked for it when addresses or links of this node change.
type bell struct {
	mu    sync.Mutex
	wakes map[*func()]struct{}
	last  time.Time // when it rang
}

func newBell() *bell { return &bell{wakes: map[*func()]struct{}{}} }

// ask waits until ctx ends. It wakes at once if the bell has rung since then, which nobody
// heard.
func (b *bell) ask(ctx context.Context, since time.Time, wake func()) {
	b.mu.Lock()
	b.wakes[&wake] = struct{}{}
	if b.last.After(since) {
		wake()
	}
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.wakes, &wake)
	b.mu.Unlock()
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
	for wake := range b.wakes {
		(*wake)()
	}
}

// listen rings for each address that vanishes and each change of a link, until ctx
// ends. When the kernel had to drop messages it rings as well, and listens anew.
func (b *bell) listen(ctx context.Context) {
	const pause = 100 * time.Millisecond
	for ctx.Err() == nil {
		b.listenOnce(ctx)
		b.ring()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (b *bell) listenOnce(ctx context.Context) {
	end := make(chan struct{})
	addrs, links := make(chan netlink.AddrUpdate), make(chan netlink.LinkUpdate)
	defer func() {
		close(end)
		go drain(addrs) // or its sender would wait for ever
		go drain(links)
	}()
	if netlink.AddrSubscribe(addrs, end) != nil {
		close(addrs)
		close(links)
		return
	}
	if netlink.LinkSubscribe(links, end) != nil {
		close(links)
		return
	}
	states := map[int]uint32{}
	for {
		select {
		case <-ctx.Done():
			return
		case a, ok := <-addrs:
			if !ok {
				return
			}
			if !a.NewAddr {
				b.ring()
			}
		case l, ok := <-links:
			if !ok {
				return
			}
			const carrier = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
			now, was := l.Flags&carrier, states[int(l.Index)]
			if states[int(l.Index)] = now; now != was {
				b.ring()
			}
		}
	}
}

func drain[T any](c <-chan T) {
	for range c {
	}
}

// watch is what may concern a resource: its units, and this node's addresses.
func (e *Engine) watch(ctx context.Context, d *driver, since time.Time, wake func()) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { e.bell.ask(ctx, since, wake) })
	names, err := agents.UnitsOf(e.StateDir, d.resource.Name)
	if err != nil {
		e.Log.Warn("its unit is looked at from time to time only", "resource", d.resource.Name, "error", err)
	}
	for _, name := range names {
		all.Go(func() {
			// It ends with ctx. What it is like now is told first: it may have ended
			// before anybody watched.
			_ = e.Units.Watch(ctx, name, func(s unit.State) {
				if s.Running() != unit.Yes {
					wake()
				}
			})
		})
	}
}
