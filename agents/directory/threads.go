// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

// A change of the configuration waits until all of the server's threads are at
// rest. One that tries to follow another replica is not for as long as that one
// does not answer: until network-timeout and timeout of olcSyncrepl, and without
// them for minutes after the death of a node, which is when it must not; and two
// servers whose configurations are changed at the same time can wait for each
// other. So what the server waits for in vain is ended, which it takes for a
// failure and tries again later (olcSyncrepl retry).
const (
	connectPatience = 300 * time.Millisecond // with nobody at the other end
	answerPatience  = time.Second            // of one that took the connection and says nothing
	lookEvery       = 100 * time.Millisecond
)

// freeThreads does so until the returned function is called.
func (o *OpenLDAP) freeThreads(ctx context.Context, f agents.Facts, s settings) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		begin, ends := time.Now(), []netip.AddrPort(nil)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if ends == nil { // names take time, and nearly always none is needed
				ends = endsOf(ctx, s)
			}
			if err := o.endWaits(ctx, f, ends, time.Since(begin)); err != nil && ctx.Err() == nil {
				o.log.Warn("the server waits for other replicas, and cannot be helped", "error", err)
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// endWaits ends the server's own connections on which it has waited too long.
func (o *OpenLDAP) endWaits(ctx context.Context, f agents.Facts, ends []netip.AddrPort, lasted time.Duration) error {
	calls, err := vip.Calls(ctx, ends)
	if err != nil {
		return err
	}
	calls = slices.DeleteFunc(calls, func(c vip.Session) bool {
		if c.Connecting {
			return lasted < connectPatience
		}
		return lasted < answerPatience || c.Awaits() < answerPatience
	})
	if len(calls) == 0 {
		return nil
	}
	ps, err := process.Find(f.Process)
	if err != nil {
		return err
	}
	var waits []vip.Session
	for _, p := range ps {
		fds, err := socket.Of(p)
		if err != nil {
			return err
		}
		for _, c := range calls {
			if _, own := fds[c.Inode]; own {
				waits = append(waits, c)
			}
		}
	}
	n, err := vip.Destroy(ctx, waits)
	if n > 0 {
		o.log.Info("ended the server's wait for another replica that does not answer", "replica", waits[0].Remote, "count", n)
	}
	return err
}

// endsOf is where the server finds the replicas that it follows.
func endsOf(ctx context.Context, s settings) []netip.AddrPort {
	ends := []netip.AddrPort{}
	for _, d := range s.databases {
		for _, src := range d.sources {
			for _, a := range resolve(ctx, src.url.Host) {
				ends = append(ends, netip.AddrPortFrom(a, src.url.Port))
			}
		}
	}
	return ends
}

// resolve returns none of a name that is not found in time.
func resolve(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}
	}
	short, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(short, "ip", host)
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}
