// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// unixSocket is one end of a connection: unix(7).
type unixSocket struct {
	inode, peer uint32
	unread      bool // something was received and not read
}

// From linux/unix_diag.h, which golang.org/x/sys lacks.
const (
	unixDiagReqLen = 24                            // struct unix_diag_req: family, states at 4, what to show at 12
	unixDiagMsgLen = 16                            // struct unix_diag_msg: inode at 4, attributes follow
	unixShow       = 4 | 16                        // UDIAG_SHOW_PEER, UDIAG_SHOW_RQLEN
	unixPeer       = 2                             // the attribute UNIX_DIAG_PEER, an inode
	unixQueue      = 4                             // the attribute UNIX_DIAG_RQLEN: received, then sent
	unixConnected  = 1 << unix.BPF_TCP_ESTABLISHED // as a set of states
)

// unixSockets lists the connected ones of this network namespace: sock_diag(7).
// The netlink library's own list ends at a socket that it cannot read, and says
// nothing of it.
func unixSockets() ([]unixSocket, error) {
	const patience = time.Second // the kernel answers at once
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	defer s.Close()
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err := s.SetReceiveTimeout(&limit); err != nil {
		return nil, fmt.Errorf("list unix sockets: %w", err)
	}
	body := make([]byte, unixDiagReqLen)
	body[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(body[4:], unixConnected)
	binary.NativeEndian.PutUint32(body[12:], unixShow)
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_SOCK_DIAG: {Socket: s}}
	req.RetryInterrupted = true
	req.AddRawData(body)
	msgs, err := req.Execute(unix.NETLINK_SOCK_DIAG, 0)
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
