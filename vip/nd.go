// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ndp"
)

const (
	ipv6Len  = 40
	icmpv6   = 58
	hopLimit = 255 // RFC 4861: proves that the sender is on the segment
)

var allNodes = netip.MustParseAddr("ff02::1")

// multicastMAC is the Ethernet address of an IPv6 multicast group (RFC 2464 section 7).
func multicastMAC(group netip.Addr) net.HardwareAddr {
	b := group.As16()
	return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// solicitedNode is the group that the holder of a listens to (RFC 4291 section 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	g, b := netip.MustParseAddr("ff02::1:ff00:0").As16(), a.As16()
	copy(g[13:], b[13:])
	return netip.AddrFrom16(g)
}

// ndFrame is a neighbour discovery message in IPv6 in Ethernet, for a multicast group.
func ndFrame(mac net.HardwareAddr, src, group netip.Addr, m ndp.Message) ([]byte, error) {
	body, err := ndp.MarshalMessageChecksum(m, src, group)
	if err != nil {
		return nil, fmt.Errorf("neighbour discovery from %s: %w", src, err)
	}
	h := make([]byte, ipv6Len, ipv6Len+len(body))
	h[0] = 6 << 4
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	h[6], h[7] = icmpv6, hopLimit
	copy(h[8:], src.AsSlice())
	copy(h[24:], group.AsSlice())
	return etherFrame(multicastMAC(group), mac, etherIPv6, append(h, body...)), nil
}

// ndProbe asks who has a, without saying that we do (RFC 4862 section 5.4.2).
func ndProbe(mac net.HardwareAddr, a netip.Addr) ([]byte, error) {
	return ndFrame(mac, netip.IPv6Unspecified(), solicitedNode(a), &ndp.NeighborSolicitation{TargetAddress: a})
}

// ndAnnounce tells everybody that mac has a, overriding what they knew (RFC 4861 section 7.2.6).
func ndAnnounce(mac net.HardwareAddr, a netip.Addr, router bool) ([]byte, error) {
	return ndFrame(mac, a, allNodes, &ndp.NeighborAdvertisement{
		Router: router, Override: true, TargetAddress: a,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	})
}

// ndAsk asks gateway for its place as a. The one asked must put a into its cache (RFC 4861 section 7.2.3).
func ndAsk(mac net.HardwareAddr, a, gateway netip.Addr) ([]byte, error) {
	return ndFrame(mac, a, solicitedNode(gateway), &ndp.NeighborSolicitation{
		TargetAddress: gateway,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac}},
	})
}

// parseND reads an Ethernet frame with a neighbour advertisement, or with the solicitation of a host that
// does duplicate address detection.
func parseND(frame []byte) (heard, bool) {
	const start = etherLen + ipv6Len
	if len(frame) < start || binary.BigEndian.Uint16(frame[12:]) != etherIPv6 ||
		frame[etherLen]>>4 != 6 || frame[etherLen+6] != icmpv6 || frame[etherLen+7] != hopLimit {
		return heard{}, false
	}
	size := int(binary.BigEndian.Uint16(frame[etherLen+4:]))
	if size > len(frame)-start {
		return heard{}, false
	}
	m, err := ndp.ParseMessage(frame[start : start+size])
	if err != nil {
		return heard{}, false
	}
	src := netip.AddrFrom16([16]byte(frame[etherLen+8:]))
	dst := netip.AddrFrom16([16]byte(frame[etherLen+24:]))
	mac := net.HardwareAddr(frame[6:12])
	switch m := m.(type) {
	case *ndp.NeighborAdvertisement:
		return heard{addr: m.TargetAddress, mac: mac, to: dst}, true
	case *ndp.NeighborSolicitation:
		return heard{addr: m.TargetAddress, mac: mac, probing: true}, src.IsUnspecified()
	}
	return heard{}, false
}
