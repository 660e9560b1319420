// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// Unix is a unix(7) socket of this network namespace.
type Unix struct {
	Inode uint32
	// Peer is the inode of the other end. It is 0 if there is none, if it was
	// closed, and if nobody has accepted the connection yet.
	Peer uint32
	// Name is the path it is bound to, as the process gave it; an accepted
	// connection has that of its listener. Empty: none, or an abstract one.
	Name   string
	Stream bool // rather than of datagrams or packets
	Unread bool // something has come in that was not read
}

// Lengths and numbers in the sock_diag protocol: sock_diag(7),
// linux/unix_diag.h, linux/inet_diag.h.
const (
	byFamily = 20 // SOCK_DIAG_BY_FAMILY

	unixReqLen = 24 // struct unix_diag_req
	unixMsgLen = 16 // struct unix_diag_msg

	unixName  = 0  // UNIX_DIAG_NAME
	unixPeer  = 2  // UNIX_DIAG_PEER
	unixQueue = 4  // UNIX_DIAG_RQLEN, a struct unix_diag_rqlen
	unixShow  = 12 // where struct unix_diag_req has what is to be shown

	inetReqLen = 56 // struct inet_diag_req_v2
	inetMsgLen = 72 // struct inet_diag_msg

	allStates = 0xffffffff
)

// AllUnix lists the unix sockets: sock_diag(7).
func AllUnix(ctx context.Context) ([]Unix, error) {
	req := make([]byte, unixReqLen)
	req[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(req[4:], allStates)
	binary.NativeEndian.PutUint32(req[unixShow:], 1<<unixName|1<<unixPeer|1<<unixQueue)
	msgs, err := dump(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	all := make([]Unix, 0, len(msgs))
	for _, m := range msgs {
		if s, ok := parseUnix(m); ok {
			all = append(all, s)
		}
	}
	return all, nil
}

func parseUnix(m []byte) (Unix, bool) {
	if len(m) < unixMsgLen || m[0] != unix.AF_UNIX {
		return Unix{}, false
	}
	s := Unix{Stream: m[1] == unix.SOCK_STREAM, Inode: binary.NativeEndian.Uint32(m[4:])}
	for kind, value := range netlink.Attributes(m[unixMsgLen:]) {
		switch {
		case kind == unixName:
			name, _, _ := bytes.Cut(value, []byte{0}) // an abstract one begins with it
			s.Name = string(name)
		case kind == unixPeer && len(value) >= 4:
			s.Peer = binary.NativeEndian.Uint32(value)
		case kind == unixQueue && len(value) >= 4:
			s.Unread = binary.NativeEndian.Uint32(value) > 0
		}
	}
	return s, true
}

// TCP is a tcp(7) socket of this network namespace.
type TCP struct {
	Inode     uint32         // 0 once no process has it any more
	Local     netip.AddrPort // IPv4-mapped addresses are shown as IPv4
	Remote    netip.AddrPort // not valid if it listens
	Listening bool
}

// AllTCP lists the TCP sockets, of IPv4 and IPv6: sock_diag(7).
func AllTCP(ctx context.Context) ([]TCP, error) {
	var all []TCP
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		req := make([]byte, inetReqLen)
		req[0], req[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(req[4:], allStates)
		msgs, err := dump(ctx, req)
		if errors.Is(err, unix.ENOENT) && family == unix.AF_INET6 {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list TCP sockets: %w", err)
		}
		for _, m := range msgs {
			if s, ok := parseTCP(m); ok {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// Listening says which ports the listening TCP sockets have, by their inodes.
func Listening(ctx context.Context) (map[uint32]uint16, error) {
	all, err := AllTCP(ctx)
	if err != nil {
		return nil, err
	}
	ports := map[uint32]uint16{}
	for _, s := range all {
		if s.Listening {
			ports[s.Inode] = s.Local.Port()
		}
	}
	return ports, nil
}

func parseTCP(m []byte) (TCP, bool) {
	if len(m) < inetMsgLen || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return TCP{}, false
	}
	end := func(port, addr int) netip.AddrPort {
		size := 16
		if m[0] == unix.AF_INET {
			size = 4
		}
		a, _ := netip.AddrFromSlice(m[addr : addr+size])
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(m[port:]))
	}
	return TCP{
		Listening: m[1] == unix.BPF_TCP_LISTEN,
		Local:     end(4, 8),
		Remote:    end(6, 24),
		Inode:     binary.NativeEndian.Uint32(m[inetMsgLen-4:]),
	}, true
}

// dump asks the kernel for a list.
func dump(ctx context.Context, body []byte) ([][]byte, error) {
	c, err := netlink.Open(ctx, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Dump(byFamily, body)
}
