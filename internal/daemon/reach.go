// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// echo is what a node has for its answer, which is its kernel's: on networks for
// heartbeats it takes well under a millisecond. All of it is waited for a node that is off.
const echo = 10 * time.Millisecond

// reached says whether anything answers to a connection on one of the addresses, be it by a
// refusal. A kernel does so also while all of its programs stand still.
func reached(ctx context.Context, port uint16, addrs []netip.Addr) bool {
	return reachedWithin(ctx, echo, port, addrs)
}

func reachedWithin(ctx context.Context, patience time.Duration, port uint16, addrs []netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make(chan bool, len(addrs))
	for _, a := range addrs {
		go func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(a, port).String())
			if err == nil {
				conn.Close()
			}
			answers <- err == nil || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)
		}()
	}
	for range addrs {
		if <-answers {
			return true
		}
	}
	return false
}
