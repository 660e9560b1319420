// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What the kernel has is read as another library reads it.
func TestReadsAsOthersDo(t *testing.T) {
	l := newLab(t, 1)
	h := l.hosts[0]
	h.addAddr("eth0", vip4+"/32")
	h.addAddr("eth0", vip6+"/128")
	h.addAddr("eth0", "192.0.2.78/24") // a secondary one
	h.do(func() {
		eth0, err := netlink.LinkByName("eth0")
		l.must(err)
		ppp := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ppp0"}, PeerName: "down0"}
		l.must(netlink.LinkAdd(ppp))
		l.must(netlink.LinkAddAltName(eth0, "uplink"))
		l.must(netlink.LinkAddAltName(eth0, "a-name-longer-than-an-interface-s"))
		l.must(netlink.LinkSetUp(ppp))
		for local, peer := range map[string]string{"198.51.100.1/32": "198.51.100.2/32", "2001:db8:1::1/128": "2001:db8:1::2/64"} {
			l.must(netlink.AddrAdd(ppp, &netlink.Addr{IPNet: fromPrefix(netip.MustParsePrefix(local)), Peer: fromPrefix(netip.MustParsePrefix(peer))}))
		}
		dst := func(s string) *net.IPNet { return fromPrefix(netip.MustParsePrefix(s)) }
		gw := net.ParseIP
		for _, r := range []netlink.Route{
			{Gw: gw("192.0.2.9")},
			{Gw: gw("192.0.2.8"), Priority: 500},
			{Gw: gw("2001:db8::9"), Priority: 7},
			{Dst: dst("203.0.113.0/25"), LinkIndex: eth0.Attrs().Index, Scope: netlink.SCOPE_LINK},
			{Dst: dst("203.0.113.128/25"), Gw: gw("192.0.2.9")},
			{Dst: dst("203.0.113.64/26"), Type: unix.RTN_BLACKHOLE},
			{Dst: dst("203.0.113.32/27"), Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: gw("2001:db8::9")}, LinkIndex: eth0.Attrs().Index},
			{Dst: dst("203.0.113.16/28"), Gw: gw("192.0.2.9"), Table: 77},
			{Dst: dst("203.0.113.8/29"), MultiPath: []*netlink.NexthopInfo{
				{LinkIndex: eth0.Attrs().Index, Gw: gw("192.0.2.9")}, {LinkIndex: ppp.Attrs().Index},
			}},
		} {
			if err := netlink.RouteAdd(&r); err != nil {
				t.Fatalf("%s: %v", r, err)
			}
		}

		k, err := openKernel(t.Context())
		l.must(err)
		defer k.Close()
		var ours []address
		theirs := l.settledAddrs(func() {
			ours, err = k.addresses()
			l.must(err)
		})
		same(t, "addresses", ours, theirs, func(a address) string {
			return fmt.Sprint(a.prefix, a.index, a.flags, a.peer, a.tagged)
		}, func(a netlink.Addr) string {
			p, _ := toPrefix(a.IPNet)
			return fmt.Sprint(p, a.LinkIndex, a.Flags, a.Peer != nil, a.Protocol == Tag)
		})
		ls, err := k.links()
		l.must(err)
		theirLinks, err := netlink.LinkList()
		l.must(err)
		same(t, "interfaces", ls, theirLinks, func(l link) string {
			return fmt.Sprint(l.index, l.name, l.names, l.mac, l.up, l.ether)
		}, func(l netlink.Link) string {
			a := l.Attrs()
			up := a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 && (a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown)
			return fmt.Sprint(a.Index, a.Name, a.AltNames, a.HardwareAddr, up, a.EncapType == "ether" && len(a.HardwareAddr) == 6)
		})
		if len(ls) < 4 || !slices.ContainsFunc(ls, func(l link) bool { return len(l.names) == 2 }) {
			t.Errorf("too little to compare: %+v", ls)
		}
		rs, err := k.routes()
		l.must(err)
		theirRoutes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		l.must(err)
		same(t, "routes", rs, theirRoutes, func(r route) string {
			if !r.dst.IsValid() {
				r.dst = netip.PrefixFrom(netip.Addr{}, 0)
			}
			var hops []string
			for _, h := range r.hops {
				hops = append(hops, fmt.Sprint(h.index, h.gateway))
			}
			return fmt.Sprint(r.dst.Bits() > 0 && r.dst.IsValid(), r.dst.Addr(), r.kind, r.metric, r.via, r.index, r.gateway, hops)
		}, func(r netlink.Route) string {
			p, _ := toPrefix(r.Dst)
			if p.Bits() == 0 {
				p = netip.Prefix{}
			}
			var hops []string
			for _, n := range r.MultiPath {
				gw, _ := netip.AddrFromSlice(n.Gw)
				hops = append(hops, fmt.Sprint(n.LinkIndex, gw))
			}
			gw, _ := netip.AddrFromSlice(r.Gw)
			return fmt.Sprint(p.IsValid(), p.Addr(), r.Type, r.Priority, r.Via != nil, r.LinkIndex, gw, hops)
		})
		if len(rs) < 8 || !slices.ContainsFunc(rs, func(r route) bool { return len(r.hops) == 2 }) {
			t.Errorf("too little to compare: %+v", rs)
		}
	})
}

// settledAddrs reads the addresses when the kernel is done with those that were added, and calls read while they do
// not change.
func (l *lab) settledAddrs(read func()) []netlink.Addr {
	l.t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		before, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		l.must(err)
		read()
		after, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		l.must(err)
		tentative := slices.ContainsFunc(after, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
		if !tentative && reflect.DeepEqual(before, after) {
			return after
		}
		select {
		case <-tick.C:
		case <-late:
			l.t.Fatalf("the addresses do not settle: %v, %v", before, after)
		}
	}
}

// same compares two lists of the same things in whatever order.
func same[A, B any](t *testing.T, what string, ours []A, theirs []B, a func(A) string, b func(B) string) {
	t.Helper()
	var got, want []string
	for _, x := range ours {
		got = append(got, a(x))
	}
	for _, x := range theirs {
		want = append(want, b(x))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("%s (-theirs +ours)\n%s", what, diff)
	}
}
