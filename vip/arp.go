// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
)

const (
	etherLen  = 14
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	zeroMAC   = make(net.HardwareAddr, 6)
)

// heard is what a foreign ARP or ND packet says about addresses.
type heard struct {
	addr    netip.Addr       // claimed by mac, or asked for by it if probing
	mac     net.HardwareAddr // of the sender
	probing bool             // the sender asks whether anybody has addr, and wants it
	to      netip.Addr       // whom the packet is for
}

func etherFrame(dst, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, etherLen+len(payload))
	b = append(append(b, dst...), src...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// arpFrame is a broadcast ARP packet from mac.
func arpFrame(op arp.Operation, mac net.HardwareAddr, sender netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(op, mac, sender, targetMAC, target)
	if err != nil {
		return nil, err
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return etherFrame(broadcast, mac, etherARP, b), nil
}

// arpProbe asks who has a, without saying that we do (RFC 5227 section 1.1).
func arpProbe(mac net.HardwareAddr, a netip.Addr) ([]byte, error) {
	return arpFrame(arp.OperationRequest, mac, netip.IPv4Unspecified(), zeroMAC, a)
}

// arpAnnounce tells everybody that mac has a, as a request (RFC 5227 section 3) and as a reply: there are
// devices that heed only the one and devices that heed only the other.
func arpAnnounce(mac net.HardwareAddr, a netip.Addr) (request, reply []byte, err error) {
	if request, err = arpFrame(arp.OperationRequest, mac, a, zeroMAC, a); err != nil {
		return nil, nil, err
	}
	reply, err = arpFrame(arp.OperationReply, mac, a, mac, a)
	return request, reply, err
}

// arpAsk asks gateway for its place as a. The one asked must put a into its table (RFC 826).
func arpAsk(mac net.HardwareAddr, a, gateway netip.Addr) ([]byte, error) {
	return arpFrame(arp.OperationRequest, mac, a, zeroMAC, gateway)
}

// parseARP reads an Ethernet frame with an ARP packet for IPv4.
func parseARP(frame []byte) (heard, bool) {
	var p arp.Packet
	if len(frame) < etherLen || binary.BigEndian.Uint16(frame[12:]) != etherARP || p.UnmarshalBinary(frame[etherLen:]) != nil {
		return heard{}, false
	}
	if p.HardwareType != 1 || p.ProtocolType != 0x0800 || len(p.SenderHardwareAddr) != 6 || !p.SenderIP.Is4() {
		return heard{}, false
	}
	h := heard{addr: p.SenderIP, mac: p.SenderHardwareAddr, to: p.TargetIP}
	if p.SenderIP.IsUnspecified() {
		h.addr, h.to, h.probing = p.TargetIP, netip.Addr{}, true
		return h, p.Operation == arp.OperationRequest
	}
	return h, true
}
