// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

const (
	etherLen = 14
	ipv6Len  = 40
	hopLimit = 255
)

// wire is a packet socket on the network that the nodes share.
type wire struct {
	fd    int
	index int
	mac   net.HardwareAddr
	own4  netip.Addr
	own6  netip.Addr
}

// openWire opens it in the network namespace of the calling thread.
func openWire(name string, own4, own6 netip.Addr) (*wire, error) {
	eth, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("judge: packet socket: %w", err)
	}
	w := &wire{fd: fd, index: eth.Index, mac: eth.HardwareAddr, own4: own4, own6: own6}
	const room = 8 << 20 // what comes in while this process has to wait for a processor
	for _, set := range []func() error{
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) },
		func() error {
			return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
		},
		func() error {
			all := unix.PacketMreq{Ifindex: int32(eth.Index), Type: unix.PACKET_MR_ALLMULTI}
			return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &all)
		},
		func() error {
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: eth.Index})
		},
	} {
		if err := set(); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("judge: packet socket on %s: %w", name, err)
		}
	}
	return w, nil
}

func networkOrder(n uint16) uint16 { return n>>8 | n<<8 }

func (w *wire) close() { unix.Close(w.fd) }

// missed counts frames that the kernel had no room for, since it was last asked.
func (w *wire) missed() int {
	st, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 1
	}
	return int(st.Drops)
}

// claim says that a MAC answers for an address, or announces it.
type claim struct {
	addr netip.Addr
	mac  net.HardwareAddr
	at   time.Time // when the kernel took the frame in
}

// next waits a moment for a claim; ok is false if what came was none.
func (w *wire) next(b []byte) (c claim, ok bool, err error) {
	oob := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	n, oobn, _, from, err := unix.Recvmsg(w.fd, b, oob, 0)
	if err == unix.EAGAIN || err == unix.EINTR || err == unix.ENETDOWN {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("judge: listen: %w", err)
	}
	if ll, is := from.(*unix.SockaddrLinklayer); is && ll.Pkttype == unix.PACKET_OUTGOING {
		return c, false, nil
	}
	c, ok = parse(b[:n])
	c.at = stamp(oob[:oobn])
	return c, ok, nil
}

func stamp(oob []byte) time.Time {
	list, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range list {
			if m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

// parse reads an answer or an announcement out of a frame. Questions that somebody asks
// in the name of an address claim it as well (RFC 826).
func parse(frame []byte) (claim, bool) {
	if len(frame) < etherLen {
		return claim{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_ARP:
		var p arp.Packet
		if p.UnmarshalBinary(frame[etherLen:]) != nil || !p.SenderIP.Is4() || p.SenderIP.IsUnspecified() {
			return claim{}, false
		}
		return claim{addr: p.SenderIP, mac: p.SenderHardwareAddr}, true
	case unix.ETH_P_IPV6:
		const start = etherLen + ipv6Len
		if len(frame) < start || frame[etherLen+6] != unix.IPPROTO_ICMPV6 || frame[etherLen+7] != hopLimit {
			return claim{}, false
		}
		end := start + int(binary.BigEndian.Uint16(frame[etherLen+4:]))
		if end > len(frame) {
			return claim{}, false
		}
		m, err := ndp.ParseMessage(frame[start:end])
		if err != nil {
			return claim{}, false
		}
		if a, is := m.(*ndp.NeighborAdvertisement); is {
			return claim{addr: a.TargetAddress, mac: append(net.HardwareAddr{}, frame[6:12]...)}, true
		}
	}
	return claim{}, false
}

// ask sends everybody the question who has an address.
func (w *wire) ask(a netip.Addr) error {
	frame, err := w.question(a)
	if err != nil {
		return fmt.Errorf("judge: ask for %s: %w", a, err)
	}
	to := unix.SockaddrLinklayer{Ifindex: w.index, Halen: 6}
	copy(to.Addr[:], frame[:6])
	if err := unix.Sendto(w.fd, frame, 0, &to); err != nil {
		return fmt.Errorf("judge: ask for %s: %w", a, err)
	}
	return nil
}

func (w *wire) question(a netip.Addr) ([]byte, error) {
	if a.Is4() {
		p, err := arp.NewPacket(arp.OperationRequest, w.mac, w.own4, make(net.HardwareAddr, 6), a)
		if err != nil {
			return nil, err
		}
		b, err := p.MarshalBinary()
		return w.ether(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, unix.ETH_P_ARP, b), err
	}
	// To all nodes, and not to the group of those that have such an address: nobody
	// may be deaf to it.
	m := &ndp.NeighborSolicitation{TargetAddress: a, Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: w.mac}}}
	all := netip.MustParseAddr("ff02::1")
	body, err := ndp.MarshalMessageChecksum(m, w.own6, all)
	if err != nil {
		return nil, err
	}
	h := make([]byte, ipv6Len, ipv6Len+len(body))
	h[0] = 6 << 4
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	h[6], h[7] = unix.IPPROTO_ICMPV6, hopLimit
	copy(h[8:], w.own6.AsSlice())
	copy(h[24:], all.AsSlice())
	return w.ether(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, unix.ETH_P_IPV6, append(h, body...)), nil
}

func (w *wire) ether(to net.HardwareAddr, kind uint16, payload []byte) []byte {
	b := append(append([]byte{}, to...), w.mac...)
	return append(binary.BigEndian.AppendUint16(b, kind), payload...)
}
