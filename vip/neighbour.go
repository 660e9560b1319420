// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// ask lets the kernel ask the segment for p's address, by one packet sent at once. Looking an own address up
// in the neighbour table is unusual, but it is the cheap way: the kernel needs 10 ms to close a packet socket.
// Call forget before the kernel repeats the question after a second.
func (k *kernel) ask(p place) error {
	add := func() error {
		return k.Do(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_EXCL, neighbour(p, unix.NTF_USE))
	}
	err := add()
	if err == unix.EEXIST { // left from when another host had the address
		k.forget(p)
		err = add()
	}
	return err
}

// forget removes what ask left in the neighbour table.
func (k *kernel) forget(p place) { k.Do(unix.RTM_DELNEIGH, 0, neighbour(p, 0)) }

// neighbour is a struct ndmsg with p's address: rtnetlink(7).
func neighbour(p place, flags byte) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = family(p.addr())
	binary.NativeEndian.PutUint32(b[4:], uint32(p.link.index))
	b[10] = flags
	return netlink.Append(b, unix.NDA_DST, p.addr().AsSlice())
}
