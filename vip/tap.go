// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// tap sends frames out of an interface and hears the ARP or the neighbour discovery that comes in there.
type tap struct {
	conn *packet.Conn
	link link
	six  bool
}

// openTap opens a tap in the network namespace of the calling thread. The addresses are those of interest:
// for IPv6, their multicast groups are let through to us.
func openTap(l link, six bool, addrs ...netip.Addr) (*tap, error) {
	proto := etherARP
	if six {
		proto = etherIPv6
	}
	filter, err := bpf.Assemble(tapFilter(l.index, six))
	if err != nil {
		return nil, fmt.Errorf("assemble packet filter: %w", err)
	}
	c, err := packet.Listen(&net.Interface{Index: l.index, HardwareAddr: l.mac}, packet.Raw, proto, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", l.name, err)
	}
	for _, a := range addrs {
		if !six || !a.Is6() {
			continue
		}
		if err := c.JoinGroup(multicastMAC(solicitedNode(a))); err != nil {
			c.Close()
			return nil, fmt.Errorf("join the group of %s on %s: %w", a, l.name, err)
		}
	}
	return &tap{c, l, six}, nil
}

// tapFilter passes ARP, or neighbour solicitations and advertisements, that came in on the interface itself: a packet
// socket also gets, with the tag taken off, what belongs to a VLAN on top of it (that has the VLAN's interface index)
// or to a VLAN that is not configured here (the kernel calls that a packet for another host).
func tapFilter(index int, six bool) []bpf.Instruction {
	f := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(index), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	if six {
		f = append(f,
			bpf.LoadAbsolute{Off: etherLen + 6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmpv6, SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.LoadAbsolute{Off: etherLen + ipv6Len, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 135, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipTrue: 1},
			bpf.RetConstant{Val: 0})
	}
	return append(f, bpf.RetConstant{Val: 1 << 16})
}

func (t *tap) send(frame []byte, err error) error {
	if err == nil {
		_, err = t.conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	}
	if err != nil {
		return fmt.Errorf("send on %s: %w", t.link.name, err)
	}
	return nil
}

// sendProbe asks the segment who has a.
func (t *tap) sendProbe(a netip.Addr) error {
	if t.six {
		return t.send(ndProbe(t.link.mac, a))
	}
	return t.send(arpProbe(t.link.mac, a))
}

// listen hands what comes in to f until f returns false or the read deadline has come. What came in before
// the deadline is handed over even if this thread did not get to run until later: on a busy node that is
// just when an answer would be missed.
func (t *tap) listen(f func(heard) bool) error {
	b := make([]byte, 2048)
	for {
		n, _, err := t.conn.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return t.drain(b, f)
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", t.link.name, err)
		}
		if !t.hear(b[:n], f) {
			return nil
		}
	}
}

// drain hands what is queued to f without waiting.
func (t *tap) drain(b []byte, f func(heard) bool) error {
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("listen on %s: %w", t.link.name, err)
	}
	return raw.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			if err != nil || !t.hear(b[:n], f) {
				return
			}
		}
	})
}

// hear says whether to go on.
func (t *tap) hear(frame []byte, f func(heard) bool) bool {
	parse := parseARP
	if t.six {
		parse = parseND
	}
	h, ok := parse(frame)
	if !ok {
		return true
	}
	h.mac = slices.Clone(h.mac) // the frame's memory is used again
	return f(h)
}

// taps are one tap per interface and family, with those who read from them.
type taps struct {
	list    []*tap
	readers sync.WaitGroup
}

// open opens what the places need.
func (ts *taps) open(places []place) error {
	for _, p := range places {
		if ts.of(p) != nil {
			continue
		}
		var addrs []netip.Addr
		for _, q := range places {
			if q.link.index == p.link.index {
				addrs = append(addrs, q.addr())
			}
		}
		t, err := openTap(p.link, p.addr().Is6(), addrs...)
		if err != nil {
			return err
		}
		ts.list = append(ts.list, t)
	}
	return nil
}

func (ts *taps) of(p place) *tap {
	for _, t := range ts.list {
		if t.link.index == p.link.index && t.six == p.addr().Is6() {
			return t
		}
	}
	return nil
}

// deadline sets when the readers end.
func (ts *taps) deadline(end time.Time) error {
	for _, t := range ts.list {
		if err := t.conn.SetReadDeadline(end); err != nil {
			return err
		}
	}
	return nil
}

// close ends the readers and waits for them, but not for the sockets: the kernel takes 10 to 20 ms to close a packet
// socket, which nobody needs to wait for.
func (ts *taps) close() {
	ts.deadline(time.Unix(0, 1))
	ts.readers.Wait()
	for _, t := range ts.list {
		go t.conn.Close()
	}
}
