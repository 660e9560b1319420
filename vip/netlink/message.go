// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

const headerLen = unix.SizeofNlMsghdr

var errMalformed = errors.New("malformed netlink message")

// answer is what the kernel says to the request with the sequence number.
type answer struct {
	seq         uint32
	bodies      [][]byte
	interrupted bool // the list changed while it was told
}

// collect reads datagrams until the answer has come to its end.
func (a *answer) collect(receive func() ([]byte, error)) error {
	for {
		datagram, err := receive()
		if err != nil {
			return err
		}
		for len(datagram) > 0 {
			var m message
			if m, datagram, err = parseMessage(datagram); err != nil {
				return err
			}
			if m.seq != a.seq {
				continue // the rest of an answer that was given up
			}
			a.interrupted = a.interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			if m.kind == unix.NLMSG_DONE || m.kind == unix.NLMSG_ERROR {
				return m.verdict()
			}
			a.bodies = append(a.bodies, m.body)
		}
	}
}

// message is a struct nlmsghdr with what follows it.
type message struct {
	header
	body []byte
}

type header struct {
	kind, flags uint16
	seq         uint32
}

func appendHeader(b []byte, h header, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(headerLen+len(body)))
	b = binary.NativeEndian.AppendUint16(b, h.kind)
	b = binary.NativeEndian.AppendUint16(b, h.flags)
	b = binary.NativeEndian.AppendUint32(b, h.seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows who asks
	return append(b, body...)
}

func parseMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < headerLen {
		return m, nil, errMalformed
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < headerLen || size > len(b) {
		return m, nil, errMalformed
	}
	m.kind = binary.NativeEndian.Uint16(b[4:])
	m.flags = binary.NativeEndian.Uint16(b[6:])
	m.seq = binary.NativeEndian.Uint32(b[8:])
	m.body = b[headerLen:size]
	return m, b[min(align(size), len(b)):], nil
}

// verdict is the result that the last message of an answer carries.
func (m message) verdict() error {
	if len(m.body) == 0 && m.kind == unix.NLMSG_DONE {
		return nil
	}
	if len(m.body) < 4 {
		return errMalformed
	}
	if errno := int32(binary.NativeEndian.Uint32(m.body)); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}

// align rounds up to where the next message or attribute begins.
func align(n int) int { return (n + 3) &^ 3 }
