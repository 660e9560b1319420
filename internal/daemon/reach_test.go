// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A listener that nobody serves stands for a node whose programs stand still; one whose
// queue is full drops what comes, as if the node were off.
func TestReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := netip.MustParseAddrPort(l.Addr().String())
	here := []netip.Addr{open.Addr()}
	const patience = 5 * time.Second // on a busy machine
	if !reachedWithin(t.Context(), patience, open.Port(), here) {
		t.Error("a port that is open does not answer")
	}
	if nowhere := netip.MustParseAddr("240.0.0.1"); !reachedWithin(t.Context(), patience, open.Port(), []netip.Addr{nowhere, open.Addr()}) {
		t.Error("the second address is not asked")
	}
	l.Close()
	if !reachedWithin(t.Context(), patience, open.Port(), here) {
		t.Error("a refusal is no answer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if reached(ctx, open.Port(), here) || reached(t.Context(), open.Port(), nil) {
		t.Error("there is an answer though nothing was asked")
	}
	full := clogged(t)
	began := time.Now()
	if reached(t.Context(), full.Port(), here) {
		t.Error("a host that drops everything answers")
	}
	if took := time.Since(began); took < echo {
		t.Errorf("was not waited for: %v", took)
	}
}

// clogged is a port of this host that answers nothing: its queue is full.
func clogged(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return addr
}
