// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// ParseAddrs reads a list of addresses separated by commas or white space, each with or without a prefix
// length; bits4 and bits6 are the prefix lengths of those without. An address may be listed once. The error
// names the offending item.
func ParseAddrs(s string, bits4, bits6 int) ([]netip.Prefix, error) {
	var list []netip.Prefix
	seen := make(map[netip.Addr]bool)
	for _, item := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		p, err := parseAddr(item, bits4, bits6)
		if err != nil {
			return nil, err
		}
		if seen[p.Addr()] {
			return nil, fmt.Errorf("address %q: listed twice", item)
		}
		seen[p.Addr()] = true
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("address list %q is empty", s)
	}
	return list, nil
}

func parseAddr(item string, bits4, bits6 int) (netip.Prefix, error) {
	var p netip.Prefix
	var err error
	if strings.Contains(item, "/") {
		p, err = netip.ParsePrefix(item)
	} else {
		var a netip.Addr
		a, err = netip.ParseAddr(item)
		bits := bits6
		if a.Is4() {
			bits = bits4
		}
		p = netip.PrefixFrom(a, bits)
		if err == nil && a.Zone() != "" {
			return p, fmt.Errorf("address %q: configure the interface apart, not as a zone", item)
		}
	}
	if err != nil {
		return p, fmt.Errorf("address %q: want an IPv4 or IPv6 address, with a prefix length or without", item)
	}
	return p, checkAddr(p)
}

// checkAddr says why p can't be a secondary address, or nil.
func checkAddr(p netip.Prefix) error {
	a := p.Addr()
	bad := func(why string) error { return fmt.Errorf("address %q: %s", p, why) }
	switch {
	case !a.IsValid():
		return bad("not an address")
	case a.Zone() != "":
		return bad("configure the interface apart, not as a zone")
	case !p.IsValid() || p.Bits() == 0:
		return fmt.Errorf("address %q: prefix length out of range", a)
	case a.Is4In6():
		return bad("write it as IPv4")
	case a.IsUnspecified():
		return bad("the unspecified address can't be held")
	case a.IsMulticast():
		return bad("a multicast address can't be held by one host")
	case a.IsLoopback():
		return bad("a loopback address can't move between hosts")
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return bad("the broadcast address can't be held")
	case a.Is4() && p.Bits() < 31 && p != p.Masked() && isBroadcast(p):
		return bad("this is the broadcast address of its subnet")
	case a.Is4() && p.Bits() < 31 && p == p.Masked():
		return bad("this is the address of the subnet itself")
	}
	return nil
}

func isBroadcast(p netip.Prefix) bool {
	return !p.Contains(p.Addr().Next())
}
