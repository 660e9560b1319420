// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// unixSocket is one end of a connection: unix(7).
type unixSocket struct {
	inode, peer uint32
	unread      bool // something was received and not read
}

// From linux/unix_diag.h, which golang.org/x/sys lacks.
const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY: linux/sock_diag.h

	unixDiagReqLen = 24                            // struct unix_diag_req: family, states at 4, what to show at 12
	unixDiagMsgLen = 16                            // struct unix_diag_msg: inode at 4, attributes follow
	unixShow       = 4 | 16                        // UDIAG_SHOW_PEER, UDIAG_SHOW_RQLEN
	unixPeer       = 2                             // the attribute UNIX_DIAG_PEER, an inode
	unixQueue      = 4                             // the attribute UNIX_DIAG_RQLEN: received, then sent
	unixConnected  = 1 << unix.BPF_TCP_ESTABLISHED // as a set of states
)

// unixSockets lists the connected ones of this network namespace: sock_diag(7).
func unixSockets() ([]unixSocket, error) {
	const patience = time.Second // the kernel answers at once
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := netlink.Open(ctx, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	defer c.Close()
	body := make([]byte, unixDiagReqLen)
	body[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(body[4:], unixConnected)
	binary.NativeEndian.PutUint32(body[12:], unixShow)
	msgs, err := c.Dump(sockDiagByFamily, body)
	if err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	list := make([]unixSocket, 0, len(msgs))
	for _, m := range msgs {
		s, err := parseUnixSocket(m)
		if err != nil {
			return nil, fmt.Errorf("list unix sockets: %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// parseUnixSocket reads a struct unix_diag_msg and its attributes.
func parseUnixSocket(b []byte) (unixSocket, error) {
	if len(b) < unixDiagMsgLen {
		return unixSocket{}, fmt.Errorf("a socket in %d bytes", len(b))
	}
	s := unixSocket{inode: binary.NativeEndian.Uint32(b[4:])}
	const header, align, word = 4, 4, 4 // of struct rtattr: length and type; rtnetlink(7)
	for rest := b[unixDiagMsgLen:]; len(rest) >= header; {
		size, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if size < header || size > len(rest) {
			return unixSocket{}, fmt.Errorf("socket %d: an attribute of %d bytes, where %d are left", s.inode, size, len(rest))
		}
		value := rest[header:size]
		rest = rest[min((size+align-1)/align*align, len(rest)):]
		switch {
		case kind != unixPeer && kind != unixQueue:
		case len(value) < word:
			return unixSocket{}, fmt.Errorf("socket %d: an attribute with %d bytes of content", s.inode, len(value))
		case kind == unixPeer:
			s.peer = binary.NativeEndian.Uint32(value)
		default:
			s.unread = binary.NativeEndian.Uint32(value) > 0
		}
	}
	return s, nil
}
