// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// route is what matters of a route of the main table.
type route struct {
	dst    netip.Prefix // invalid for a default route
	kind   byte         // unix.RTN_*
	metric uint32
	via    bool  // the next hop has an address of another family
	hop          // the only one
	hops   []hop // several, instead of the one
}

// hop is the next hop of a route.
type hop struct {
	index   int        // of the interface
	gateway netip.Addr // invalid: the destination is on the segment
}

func (k *kernel) routes() ([]route, error) {
	list, err := k.Dump(unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg))
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []route
	for _, m := range list {
		if r, ok := parseRoute(m); ok {
			routes = append(routes, r)
		}
	}
	return routes, nil
}

// parseRoute reads a struct rtmsg and its attributes: rtnetlink(7). Other tables than the main one, and
// what the kernel has copied from a route, are left out.
func parseRoute(m []byte) (route, bool) {
	if len(m) < unix.SizeofRtMsg || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 || m[4] != unix.RT_TABLE_MAIN ||
		binary.NativeEndian.Uint32(m[8:])&unix.RTM_F_CLONED != 0 {
		return route{}, false
	}
	r := route{kind: m[7]}
	for kind, value := range netlink.Attributes(m[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			a, _ := netip.AddrFromSlice(value)
			r.dst = netip.PrefixFrom(a, int(m[1]))
		case unix.RTA_OIF:
			r.index = int(netlink.Uint32(value))
		case unix.RTA_GATEWAY:
			r.gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_VIA:
			r.via = true
		case unix.RTA_PRIORITY:
			r.metric = netlink.Uint32(value)
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(value)
		}
	}
	return r, true
}

// parseHops reads a list of struct rtnexthop, each with its attributes.
func parseHops(b []byte) []hop {
	var hops []hop
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		h := hop{index: int(binary.NativeEndian.Uint32(b[4:]))}
		for kind, value := range netlink.Attributes(b[unix.SizeofRtNexthop:size]) {
			if kind == unix.RTA_GATEWAY {
				h.gateway, _ = netip.AddrFromSlice(value)
			}
		}
		hops = append(hops, h)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}

// dropRoutes removes host routes to a that the kernel made for an address and left behind.
func (k *kernel) dropRoutes(a netip.Addr) error {
	for _, in := range []struct{ table, kind byte }{{unix.RT_TABLE_LOCAL, unix.RTN_LOCAL}, {unix.RT_TABLE_MAIN, 0}} {
		b := make([]byte, unix.SizeofRtMsg)
		b[0], b[1], b[4], b[7] = family(a), byte(a.BitLen()), in.table, in.kind
		b[5], b[6] = unix.RTPROT_KERNEL, unix.RT_SCOPE_NOWHERE // that is any scope
		b = netlink.Append(b, unix.RTA_DST, a.AsSlice())
		for range 8 { // one per interface; more have never been there
			if err := k.Do(unix.RTM_DELROUTE, 0, b); err == unix.ESRCH {
				break
			} else if err != nil {
				return fmt.Errorf("remove the host route to %s from table %d: %w", a, in.table, err)
			}
		}
	}
	return nil
}

// family is the address family of a, which all messages begin with.
func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
