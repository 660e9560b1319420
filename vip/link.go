// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

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
	// Counters of traffic are none of our business, and some drivers are slow to tell them.
	req := netlink.AppendUint32(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_EXT_MASK, skipStats)
	list, err := k.Dump(unix.RTM_GETLINK, req)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	found := make(links, 0, len(list))
	for _, m := range list {
		if l, ok := parseLink(m); ok {
			found = append(found, l)
		}
	}
	return found, nil
}

// parseLink reads a struct ifinfomsg and its attributes: rtnetlink(7), linux/if_link.h.
func parseLink(m []byte) (link, bool) {
	if len(m) < unix.SizeofIfInfomsg {
		return link{}, false
	}
	hardware := int(binary.NativeEndian.Uint16(m[2:]))
	flags := binary.NativeEndian.Uint32(m[8:])
	l := link{index: int(int32(binary.NativeEndian.Uint32(m[4:])))}
	state := byte(operUnknown)
	for kind, value := range netlink.Attributes(m[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = netlink.String(value)
		case unix.IFLA_ADDRESS:
			if slices.ContainsFunc(value, func(b byte) bool { return b != 0 }) {
				l.mac = value
			}
		case unix.IFLA_OPERSTATE:
			if len(value) == 1 {
				state = value[0]
			}
		case unix.IFLA_PROP_LIST:
			for kind, value := range netlink.Attributes(value) {
				if kind == unix.IFLA_ALT_IFNAME {
					l.names = append(l.names, netlink.String(value))
				}
			}
		}
	}
	// Some drivers never tell their operational state.
	l.up = flags&unix.IFF_UP != 0 && flags&unix.IFF_LOWER_UP != 0 && (state == operUp || state == operUnknown)
	l.ether = hardware == unix.ARPHRD_ETHER && len(l.mac) == 6 && flags&unix.IFF_LOOPBACK == 0
	return l, true
}

const (
	operUnknown = 0 // operational states (RFC 2863), linux/if.h
	operUp      = 6

	skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h
)

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
