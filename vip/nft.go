// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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

// commit sends what build puts together as one transaction, in which build starts each of its tables with start.
// What was in these tables before is replaced. It first tries as if there was nothing, for the kernel takes 10 ms
// and more to remove a table, but less than one to make it.
func commit(build func(c *nftables.Conn, start func(*nftables.Table)) error) error {
	err := commitOnce(build, false)
	if errors.Is(err, unix.EEXIST) {
		err = commitOnce(build, true)
	}
	return err
}

func commitOnce(build func(*nftables.Conn, func(*nftables.Table)) error, replace bool) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nf_tables: %w", err)
	}
	err = build(c, func(t *nftables.Table) {
		if replace {
			c.AddTable(t)
			c.DelTable(t)
		}
		c.CreateTable(t)
	})
	if err != nil {
		return err
	}
	return c.Flush()
}

// remove removes those of the tables that are there, in one transaction. It looks first, for the kernel takes
// 10 ms and more even to refuse to remove one that is not.
func remove(tables ...*nftables.Table) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nf_tables: %w", err)
	}
	all, err := c.ListTables()
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	found := false
	for _, t := range tables {
		if slices.ContainsFunc(all, func(a *nftables.Table) bool { return a.Name == t.Name && a.Family == t.Family }) {
			c.DelTable(t)
			found = true
		}
	}
	if !found {
		return nil
	}
	if err := c.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
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

// notOurs is a rule that accepts what this host sends to itself.
func notOurs() []expr.Any {
	return []expr.Any{loadMeta(expr.MetaKeyIIFNAME), equal(ifname("lo")...), &expr.Verdict{Kind: expr.VerdictAccept}}
}

// newConnections matches the first packet of TCP connections to one of ports, none for all.
func newConnections(c *nftables.Conn, t *nftables.Table, ports []uint16) ([]expr.Any, error) {
	match := []expr.Any{loadMeta(expr.MetaKeyL4PROTO), equal(unix.IPPROTO_TCP)}
	if len(ports) > 0 {
		in, err := portSet(c, t, ports)
		if err != nil {
			return nil, err
		}
		match = append(match, load(expr.PayloadBaseTransportHeader, 2, 2, reg), in)
	}
	return append(match, first()...), nil
}

// first matches the first packet of a TCP connection.
func first() []expr.Any {
	const syn, ack = 0x02, 0x10
	return []expr.Any{
		load(expr.PayloadBaseTransportHeader, 13, 1, reg),
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{syn | ack}, Xor: []byte{0}},
		equal(syn),
	}
}

// ourConnections matches the first packet of TCP connections from this host to a place of its own.
func ourConnections(place netip.AddrPort) []expr.Any {
	match := []expr.Any{loadMeta(expr.MetaKeyIIFNAME), equal(ifname("lo")...)}
	if place.Addr().IsValid() {
		match = append(match, daddr(place.Addr())...)
	}
	match = append(match, loadMeta(expr.MetaKeyL4PROTO), equal(unix.IPPROTO_TCP),
		load(expr.PayloadBaseTransportHeader, 2, 2, reg), equal(binary.BigEndian.AppendUint16(nil, place.Port())...))
	return append(match, first()...)
}

func portSet(c *nftables.Conn, t *nftables.Table, ports []uint16) (expr.Any, error) {
	set := &nftables.Set{Table: t, Name: "ports", KeyType: nftables.TypeInetService}
	var elems []nftables.SetElement
	for _, p := range ports {
		elems = append(elems, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	err := c.AddSet(set, elems)
	return &expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID}, err
}

// daddr matches packets to a.
func daddr(a netip.Addr) []expr.Any {
	if a.Is6() {
		return ipAddr(a, 24)
	}
	return ipAddr(a, 16)
}

// saddr matches packets from an address.
func saddr(a netip.Addr) []expr.Any {
	if a.Is6() {
		return ipAddr(a, 8)
	}
	return ipAddr(a, 12)
}

// ipAddr matches an address at an offset of the network header.
func ipAddr(a netip.Addr, offset uint32) []expr.Any {
	family := byte(unix.NFPROTO_IPV4)
	if a.Is6() {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{
		loadMeta(expr.MetaKeyNFPROTO), equal(family),
		load(expr.PayloadBaseNetworkHeader, offset, uint32(a.BitLen()/8), reg), equal(a.AsSlice()...),
	}
}
