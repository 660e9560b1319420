// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel is a routing netlink socket of the calling thread's network namespace.
type kernel struct{ *netlink.Handle }

// openKernel returns a kernel whose requests end with ctx's deadline, if there is one. Interrupted dumps
// are repeated: they are incomplete, and an address must never be called missing because of that.
func openKernel(ctx context.Context) (*kernel, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open routing netlink: %w", err)
	}
	if end, ok := ctx.Deadline(); ok {
		if err := h.SetSocketTimeout(max(time.Until(end), time.Millisecond)); err != nil {
			h.Close()
			return nil, fmt.Errorf("set netlink timeout: %w", err)
		}
	}
	return &kernel{h.RetryInterrupted().DisableVFInfoCollection()}, nil
}

// address is an address as the kernel has it.
type address struct {
	prefix netip.Prefix
	index  int // of its interface
	flags  int // unix.IFA_F_*
	tagged bool
	raw    netlink.Addr // to delete it exactly
}

func (k *kernel) addresses() ([]address, error) {
	list, err := k.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	addrs := make([]address, 0, len(list))
	for _, a := range list {
		if p, ok := toPrefix(a.IPNet); ok {
			addrs = append(addrs, address{p, a.LinkIndex, a.Flags, a.Protocol == Tag, a})
		}
	}
	return addrs, nil
}

// link is what matters of an interface.
type link struct {
	index int
	name  string
	names []string // alternative names
	mac   net.HardwareAddr
	up    bool // administratively up, with carrier
	ether bool
}

type links []link

func (k *kernel) links() (links, error) {
	list, err := k.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	found := make(links, 0, len(list))
	for _, l := range list {
		a := l.Attrs()
		found = append(found, link{
			index: a.Index, name: a.Name, names: a.AltNames, mac: a.HardwareAddr,
			// Some drivers never tell their operational state.
			up: a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 &&
				(a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown),
			ether: a.EncapType == "ether" && len(a.HardwareAddr) == 6 && a.RawFlags&unix.IFF_LOOPBACK == 0,
		})
	}
	return found, nil
}

func (ls links) byIndex(i int) (link, bool) {
	return ls.find(func(l link) bool { return l.index == i })
}

func (ls links) byName(name string) (link, bool) {
	return ls.find(func(l link) bool { return l.name == name || slices.Contains(l.names, name) })
}

func (ls links) find(match func(link) bool) (link, bool) {
	if i := slices.IndexFunc(ls, match); i >= 0 {
		return ls[i], true
	}
	return link{}, false
}

// name is for texts: the name of interface i, also of one that has gone.
func (ls links) nameOf(i int) string {
	if l, ok := ls.byIndex(i); ok {
		return l.name
	}
	return fmt.Sprintf("interface %d", i)
}

// ours reports whether mac belongs to this host. All interfaces count: with two of them in one segment,
// Linux answers for an address of the one on the other, too.
func (ls links) ours(mac net.HardwareAddr) bool {
	return slices.ContainsFunc(ls, func(l link) bool { return slices.Equal(l.mac, mac) })
}

// ready says why addresses can't work on l, or nil.
func (l link) ready() error {
	if !l.ether {
		return fmt.Errorf("interface %s: %w", l.name, ErrNotEthernet)
	}
	if !l.up {
		return fmt.Errorf("interface %s: %w (no carrier, or set down)", l.name, ErrLinkDown)
	}
	return nil
}

// add puts p onto interface l as cfg wants it, or brings an existing copy into that form.
func (k *kernel) add(cfg *Config, l link, p netip.Prefix) error {
	a := netlink.Addr{IPNet: fromPrefix(p), LinkIndex: l.index, Protocol: Tag}
	if !cfg.PrefixRoute {
		a.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if p.Addr().Is4() {
		a.Label = cfg.Label
	} else {
		a.Flags |= unix.IFA_F_NODAD // Take has probed already, and a tentative address can't serve
		if !cfg.Source {
			a.ValidLft = math.MaxUint32 // for ever, with a preferred lifetime of 0
		}
	}
	if err := k.AddrReplace(nil, &a); err != nil {
		return fmt.Errorf("add %s to %s: %w%s", p, l.name, err, addHint(p, err))
	}
	return nil
}

func addHint(p netip.Prefix, err error) string {
	if p.Addr().Is6() && err == unix.EACCES {
		return " (IPv6 is disabled there: sysctl net.ipv6.conf.*.disable_ipv6)"
	}
	return ""
}

// dropRoutes removes host routes to a that the kernel made for an address and left behind.
func (k *kernel) dropRoutes(a netip.Addr) error {
	dst := fromPrefix(netip.PrefixFrom(a, a.BitLen()))
	for _, table := range []int{unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN} {
		r := netlink.Route{Dst: dst, Table: table, Protocol: unix.RTPROT_KERNEL, Scope: netlink.SCOPE_NOWHERE} // any scope
		if table == unix.RT_TABLE_LOCAL {
			r.Type = unix.RTN_LOCAL
		}
		for range 8 { // one per interface; more have never been there
			if err := k.RouteDel(&r); err == unix.ESRCH {
				break
			} else if err != nil {
				return fmt.Errorf("remove the host route to %s from table %d: %w", a, table, err)
			}
		}
	}
	return nil
}

// ask lets the kernel ask the segment for p's address, by one packet sent at once. Looking an own address up
// in the neighbour table is unusual, but it is the cheap way: the kernel needs 10 ms to close a packet socket.
// Call forget before the kernel repeats the question after a second.
func (k *kernel) ask(p place) error {
	n := neighbour(p)
	n.Flags = netlink.NTF_USE
	err := k.NeighAdd(n)
	if err == unix.EEXIST { // left from when another host had the address
		k.forget(p)
		err = k.NeighAdd(n)
	}
	return err
}

// forget removes what ask left in the neighbour table.
func (k *kernel) forget(p place) { k.NeighDel(neighbour(p)) }

func neighbour(p place) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: p.link.index, IP: p.addr().AsSlice()}
}

func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits), ok
}

func fromPrefix(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
