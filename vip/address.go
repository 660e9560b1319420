// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// IFA_PROTO of linux/if_addr.h, which says who has added an address.
const ifaProto = 11

// address is an address as the kernel has it.
type address struct {
	prefix netip.Prefix
	index  int // of its interface
	flags  int // unix.IFA_F_*
	tagged bool
	peer   bool   // it is one end of a point-to-point link
	raw    []byte // as the kernel told it, to remove it exactly
}

func (k *kernel) addresses() ([]address, error) {
	list, err := k.Dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	addrs := make([]address, 0, len(list))
	for _, m := range list {
		if a, ok := parseAddress(m); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

// parseAddress reads a struct ifaddrmsg and its attributes: rtnetlink(7), linux/if_addr.h.
func parseAddress(m []byte) (address, bool) {
	if len(m) < unix.SizeofIfAddrmsg || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return address{}, false
	}
	a := address{index: int(binary.NativeEndian.Uint32(m[4:])), raw: m}
	var local, other netip.Addr
	for kind, value := range netlink.Attributes(m[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(value)
		case unix.IFA_FLAGS:
			a.flags = int(netlink.Uint32(value))
		case ifaProto:
			a.tagged = len(value) == 1 && value[0] == Tag
		}
	}
	// The prefix length belongs to the peer, if there is one. IPv6 has no local address
	// then, and IPv4 the same twice.
	switch bits := int(m[1]); {
	case !local.IsValid():
		a.prefix = netip.PrefixFrom(other, bits)
	case local == other:
		a.prefix = netip.PrefixFrom(local, bits)
	default:
		a.prefix, a.peer = netip.PrefixFrom(local, local.BitLen()), other.IsValid()
	}
	return a, a.prefix.IsValid()
}

// add puts p onto interface l as cfg wants it, or brings an existing copy into that form.
func (k *kernel) add(cfg *Config, l link, p netip.Prefix) error {
	if err := k.put(newAddress(cfg, l, p)); err != nil {
		return fmt.Errorf("add %s to %s: %w%s", p, l.name, err, addHint(p, err))
	}
	return nil
}

// put adds or changes an address, given as the kernel tells it.
func (k *kernel) put(raw []byte) error {
	return k.Do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, raw)
}

func newAddress(cfg *Config, l link, p netip.Prefix) []byte {
	a := p.Addr().AsSlice()
	flags := uint32(0)
	if !cfg.PrefixRoute {
		flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if p.Addr().Is6() {
		flags |= unix.IFA_F_NODAD // Take has probed already, and a tentative address can't serve
	}
	b := []byte{family(p.Addr()), byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	b = binary.NativeEndian.AppendUint32(b, uint32(l.index))
	b = netlink.Append(b, unix.IFA_LOCAL, a)
	b = netlink.Append(b, unix.IFA_ADDRESS, a)
	b = netlink.AppendUint32(b, unix.IFA_FLAGS, flags)
	b = netlink.Append(b, ifaProto, []byte{Tag})
	if p.Addr().Is4() {
		if p.Bits() < 31 { // RFC 3021
			b = netlink.Append(b, unix.IFA_BROADCAST, broadcastOf(p))
		}
		if cfg.Label != "" {
			b = netlink.AppendString(b, unix.IFA_LABEL, cfg.Label)
		}
	}
	valid := time.Duration(0)
	if cfg.Valid != nil {
		valid = max(cfg.Valid(), 1) // what has ended already goes at the kernel's next look
	}
	return netlink.Append(b, unix.IFA_CACHEINFO, lifetime(valid, p.Addr().Is6() && !cfg.Source))
}

// broadcastOf is the last address of p, which is an IPv4 prefix.
func broadcastOf(p netip.Prefix) []byte {
	a := p.Addr().As4()
	last := binary.BigEndian.Uint32(a[:]) | math.MaxUint32>>p.Bits()
	return binary.BigEndian.AppendUint32(nil, last)
}

func addHint(p netip.Prefix, err error) string {
	if p.Addr().Is6() && err == unix.EACCES {
		return " (IPv6 is disabled there: sysctl net.ipv6.conf.*.disable_ipv6)"
	}
	return ""
}

// remove removes the very address; none there is fine.
func (k *kernel) remove(a address) error {
	err := k.Do(unix.RTM_DELADDR, 0, a.raw)
	if err == unix.EADDRNOTAVAIL || err == unix.ENODEV {
		return nil // gone in the meantime
	}
	if err != nil {
		return fmt.Errorf("remove %s from interface %d: %w", a.prefix, a.index, err)
	}
	return nil
}

// putBack adds an address as it was, as one that depends on no other.
func (k *kernel) putBack(a address) error {
	raw := slices.Clone(a.raw)
	raw[2] &^= unix.IFA_F_SECONDARY
	for kind, value := range netlink.Attributes(raw[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_FLAGS && len(value) == 4 {
			binary.NativeEndian.PutUint32(value, uint32(a.flags&^unix.IFA_F_SECONDARY))
		}
	}
	return k.put(raw)
}
