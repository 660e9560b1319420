// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// Session is a TCP connection of this host.
type Session struct {
	Local, Remote netip.AddrPort // IPv4-mapped addresses are shown as IPv4
	// Inode names the socket in /proc/PID/fd of the process that has it.
	Inode uint32
	// Unread is what the process has not read yet, in bytes.
	Unread uint32
	// SinceSent and SinceReceived are the times since data last went out and last came in.
	SinceSent, SinceReceived time.Duration
	// Connecting says that this host has begun it and nobody has answered yet, Unheard that nothing has come in.
	Connecting, Unheard bool

	family byte
	id     [sockIDLen]byte // as the kernel gave it, cookie included: it can't mean another connection later
}

// Lengths in the sock_diag protocol (sock_diag(7), linux/inet_diag.h).
const (
	sockIDLen  = 48 // struct inet_diag_sockid
	diagReqLen = 8 + sockIDLen
	diagMsgLen = 4 + sockIDLen + 20 // struct inet_diag_msg

	diagInfo     = 2   // INET_DIAG_INFO, a struct tcp_info
	lastDataSent = 44  // offset of tcpi_last_data_sent, in milliseconds
	lastDataRecv = 52  // offset of tcpi_last_data_recv, in milliseconds
	bytesRecv    = 128 // offset of tcpi_bytes_received, Linux 4.1
)

// Idle is how long the client has said nothing although it is its turn: everything that it sent was read, and the
// last word was the server's. It is 0 if it is the server who is waited for. A server may go on speaking meanwhile,
// as IMAP's does of its own accord: see SinceSent.
func (s Session) Idle() time.Duration {
	if s.Unread > 0 || s.SinceReceived < s.SinceSent {
		return 0
	}
	return s.SinceReceived
}

// Awaits is how long this host has been waiting for an answer: nobody has answered at all, nothing has ever come
// in, or the last word was its own. It is 0 if it has the last word of the other end.
func (s Session) Awaits() time.Duration {
	if s.Connecting || s.Unheard || s.SinceSent < s.SinceReceived {
		return max(s.SinceSent, 1)
	}
	return 0
}

// States of TCP (linux/tcp_states.h) as sets of bits.
const (
	established = 1 << unix.BPF_TCP_ESTABLISHED
	// bound is whatever has a peer and a process: neither listening, nor closed, nor TIME_WAIT.
	bound = established | 1<<unix.BPF_TCP_SYN_SENT | 1<<unix.BPF_TCP_SYN_RECV | 1<<unix.BPF_TCP_FIN_WAIT1 |
		1<<unix.BPF_TCP_FIN_WAIT2 | 1<<unix.BPF_TCP_CLOSE_WAIT | 1<<unix.BPF_TCP_LAST_ACK | 1<<unix.BPF_TCP_CLOSING
)

// Sessions lists the established TCP connections whose local end is one of addrs, none for all, and one of
// ports, none for all. Connections over loopback, and those of this host with itself, are left out.
func Sessions(ctx context.Context, addrs []netip.Addr, ports []uint16) ([]Session, error) {
	list, err := sockets(ctx, established, addrs, ports)
	if err != nil {
		return nil, err
	}
	own, err := ownAddrs(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(s Session) bool {
		return s.Remote.Addr().IsLoopback() || own[s.Remote.Addr()]
	}), nil
}

// Calls lists the TCP connections to one of the given ends that this host has, or tries to have.
func Calls(ctx context.Context, to []netip.AddrPort) ([]Session, error) {
	list, err := sockets(ctx, established|1<<unix.BPF_TCP_SYN_SENT, nil, nil)
	return slices.DeleteFunc(list, func(s Session) bool { return !slices.Contains(to, s.Remote) }), err
}

// Forsake ends this host's connections to addresses whose host is gone, and reports how many. Whoever waits there
// for an answer would wait until a time-out of its own, ten minutes for a mail that was almost delivered (postconf(5),
// lmtp_data_done_timeout): nobody is left to tell it, and the address's next host hears nothing of who says nothing.
// What is still connecting goes on. Errors are those of Destroy.
func Forsake(ctx context.Context, addrs []netip.Addr) (int, error) {
	list, err := sockets(ctx, bound&^(1<<unix.BPF_TCP_SYN_SENT), nil, nil)
	if err != nil {
		return 0, err
	}
	return Destroy(ctx, slices.DeleteFunc(list, func(s Session) bool { return !slices.Contains(addrs, s.Remote.Addr()) }))
}

func ownAddrs(ctx context.Context) (map[netip.Addr]bool, error) {
	k, err := openKernel(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	list, err := k.addresses()
	if err != nil {
		return nil, err
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		own[a.prefix.Addr()] = true
	}
	return own, nil
}

// sockets lists the TCP sockets in one of states, a set of bits. The kernel selects by state; what is left is
// few enough to be looked at here.
func sockets(ctx context.Context, states uint32, addrs []netip.Addr, ports []uint16) ([]Session, error) {
	d, err := netlink.Open(ctx, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var found []Session
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} { // the second has the IPv4-mapped ones, too
		msgs, err := d.Dump(unix.SOCK_DIAG_BY_FAMILY, diagRequest(family, states, [sockIDLen]byte{}))
		if errors.Is(err, unix.ENOENT) && family == unix.AF_INET6 {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list TCP sockets: %w", err)
		}
		for _, m := range msgs {
			s, ok := parseSocket(m)
			if ok && (len(addrs) == 0 || slices.Contains(addrs, s.Local.Addr())) &&
				(len(ports) == 0 || slices.Contains(ports, s.Local.Port())) {
				found = append(found, s)
			}
		}
	}
	return found, nil
}

// Destroy ends the given sessions (SOCK_DESTROY, sock_diag(7)): their peers get a reset, if the local address is
// still there to send it from, and the process gets ECONNABORTED. It reports how many it has ended; one that
// was gone already counts neither as ended nor as error. The error matches errors.ErrUnsupported if the kernel
// was built without CONFIG_INET_DIAG_DESTROY.
func Destroy(ctx context.Context, sessions []Session) (int, error) {
	if len(sessions) == 0 {
		return 0, nil
	}
	d, err := netlink.Open(ctx, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	n := 0
	var errs []error
	for _, s := range sessions {
		if err := ctx.Err(); err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		err := d.Do(unix.SOCK_DESTROY, 0, diagRequest(s.family, 0, s.id))
		switch {
		case err == nil:
			n++
		case errors.Is(err, unix.ENOENT):
		case errors.Is(err, unix.EOPNOTSUPP):
			return n, fmt.Errorf("end TCP sessions: %w (kernel without CONFIG_INET_DIAG_DESTROY)", err)
		default:
			errs = append(errs, fmt.Errorf("end the session %s with %s: %w", s.Local, s.Remote, err))
		}
	}
	return n, errors.Join(errs...)
}

// diagRequest is a struct inet_diag_req_v2.
func diagRequest(family byte, states uint32, id [sockIDLen]byte) []byte {
	b := make([]byte, 8, diagReqLen)
	b[0], b[1] = family, unix.IPPROTO_TCP
	b[2] = 1 << (diagInfo - 1)
	binary.NativeEndian.PutUint32(b[4:], states)
	return append(b, id[:]...)
}

// parseSocket reads a struct inet_diag_msg.
func parseSocket(b []byte) (Session, bool) {
	if len(b) < diagMsgLen {
		return Session{}, false
	}
	s := Session{family: b[0], id: [sockIDLen]byte(b[4:]), Connecting: b[1] == unix.BPF_TCP_SYN_SENT}
	size := 16
	if s.family == unix.AF_INET {
		size = 4
	}
	local, _ := netip.AddrFromSlice(s.id[4 : 4+size])
	remote, _ := netip.AddrFromSlice(s.id[20 : 20+size])
	s.Local = netip.AddrPortFrom(local.Unmap(), binary.BigEndian.Uint16(s.id[0:]))
	s.Remote = netip.AddrPortFrom(remote.Unmap(), binary.BigEndian.Uint16(s.id[2:]))
	s.Unread = binary.NativeEndian.Uint32(b[4+sockIDLen+4:])
	s.Inode = binary.NativeEndian.Uint32(b[4+sockIDLen+16:])
	for kind, info := range netlink.Attributes(b[diagMsgLen:]) {
		if kind == diagInfo && len(info) >= lastDataRecv+4 {
			s.SinceSent = time.Duration(binary.NativeEndian.Uint32(info[lastDataSent:])) * time.Millisecond
			s.SinceReceived = time.Duration(binary.NativeEndian.Uint32(info[lastDataRecv:])) * time.Millisecond
			s.Unheard = len(info) >= bytesRecv+8 && binary.NativeEndian.Uint64(info[bytesRecv:]) == 0
		}
	}
	return s, s.family == unix.AF_INET || s.family == unix.AF_INET6
}
