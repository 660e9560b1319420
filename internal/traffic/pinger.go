// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var errOtherPacket = errors.New("not a reply to this pinger")

// pinger sends echo requests to one address and knows the replies to them. It needs CAP_NET_RAW.
type pinger struct {
	conn   *net.IPConn
	to     *net.IPAddr
	v6     bool
	id     int
	seq    uint64
	secret [8]byte // tells our requests from those of others with the same id
	buf    [1500]byte
}

func newPinger(addr string) (*pinger, error) {
	to, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("icmp: %w", err)
	}
	to = to.Unmap()
	g := &pinger{v6: to.Is6(), to: &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}}
	rand.Read(g.secret[:])
	g.id = int(binary.BigEndian.Uint16(g.secret[:]))
	network := "ip4:icmp"
	if g.v6 {
		network = "ip6:ipv6-icmp"
	}
	if g.conn, err = net.ListenIP(network, nil); err != nil {
		return nil, fmt.Errorf("icmp: raw socket (needs CAP_NET_RAW): %w", err)
	}
	// Without the filter a busy namespace's other ICMP would wake us for nothing.
	if g.v6 {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		err = ipv6.NewPacketConn(g.conn).SetICMPFilter(&f)
	} else {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		err = ipv4.NewPacketConn(g.conn).SetICMPFilter(&f)
	}
	if err != nil {
		g.conn.Close()
		return nil, fmt.Errorf("icmp: filter: %w", err)
	}
	return g, nil
}

// send sends one request. It is for one goroutine.
func (g *pinger) send() error {
	g.seq++
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{
		ID: g.id, Seq: int(uint16(g.seq)), Data: binary.BigEndian.AppendUint64(g.secret[:], g.seq),
	}}
	if g.v6 {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in the checksum
	}
	packet, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	_, err = g.conn.WriteToIP(packet, g.to)
	return err
}

// receive waits for a reply to one of the requests. It is for one goroutine.
func (g *pinger) receive() error {
	n, from, err := g.conn.ReadFromIP(g.buf[:])
	if err != nil {
		return err
	}
	if !from.IP.Equal(g.to.IP) || !g.isReply(g.buf[:n]) {
		return errOtherPacket
	}
	return nil
}

func (g *pinger) isReply(packet []byte) bool {
	protocol := ipv4.ICMPTypeEchoReply.Protocol()
	if g.v6 {
		protocol = ipv6.ICMPTypeEchoReply.Protocol()
	}
	m, err := icmp.ParseMessage(protocol, packet)
	if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.ID == g.id && len(echo.Data) == 16 && bytes.HasPrefix(echo.Data, g.secret[:])
}
