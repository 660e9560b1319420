// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of 4 bytes; an IPv6 address takes four of them, an Ethernet address two.
const reg = unix.NFT_REG32_00

// tableName is the name of an owner's table, which tells owners apart whatever they are called: bytes
// that nft(8) does not take in a name are written as ".xx".
func tableName(kind, owner string) string {
	var b strings.Builder
	b.WriteString("mailha_" + kind + "_")
	for _, c := range []byte(owner) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, ".%02x", c)
		}
	}
	return b.String()
}

// fresh adds an empty table in place of what may be there, as part of c's transaction.
func fresh(c *nftables.Conn, t *nftables.Table) {
	drop(c, t)
	c.AddTable(t)
}

// drop removes a table that may not be there, as part of c's transaction.
func drop(c *nftables.Conn, t *nftables.Table) {
	c.AddTable(t)
	c.DelTable(t)
}

// unusable reports whether err means that there is no nf_tables here for us.
func unusable(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) ||
		errors.Is(err, unix.EAFNOSUPPORT)
}

func loadMeta(key expr.MetaKey) *expr.Meta { return &expr.Meta{Key: key, Register: reg} }

func load(base expr.PayloadBase, offset, size, register uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: size}
}

func equal(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data} }

// ifname is an interface name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
