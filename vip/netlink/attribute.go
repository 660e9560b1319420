// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

const attributeLen = unix.SizeofNlAttr

// Attributes lists the attributes in b by their types, without the flags of a type. What
// is malformed ends the list.
func Attributes(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) >= attributeLen {
			size := int(binary.NativeEndian.Uint16(b))
			if size < attributeLen || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(int(kind), b[attributeLen:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// Append appends an attribute to b, whose length must be a multiple of 4 as everything
// that this package returns and the kernel's structures are.
func Append(b []byte, kind int, value []byte) []byte {
	size := attributeLen + len(value)
	b = binary.NativeEndian.AppendUint16(b, uint16(size))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	return append(b, make([]byte, align(size)-size)...)
}

// AppendUint32 appends an attribute that is a number in the machine's byte order.
func AppendUint32(b []byte, kind int, value uint32) []byte {
	return Append(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}

// AppendString appends an attribute that is a text.
func AppendString(b []byte, kind int, value string) []byte {
	return Append(b, kind, append([]byte(value), 0))
}

// Uint32 is the number in an attribute in the machine's byte order, 0 for none.
func Uint32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// String is the text in an attribute.
func String(value []byte) string { return unix.ByteSliceToString(value) }
