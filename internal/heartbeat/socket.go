// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// classCS6 is the class of traffic that keeps networks together (RFC 4594, section 3.1).
const classCS6 = 48 << 2

// atOnce is how many packets are heard of a socket before this node says something
// itself again: a flood must not make it look dead. The kernel keeps about as many.
const atOnce = 256

// sockets are UDP sockets, one for each address of this node, which one thread waits
// for. Go's poller would hand each packet to another one, which has to be scheduled too.
type sockets struct {
	port   uint16
	open   map[netip.Addr]int
	poll   []unix.PollFd // the first is bell's
	local  []netip.Addr  // of poll[1:]
	buffer [maxPacket + 1]byte

	mu   sync.Mutex
	bell int // an eventfd(2); -1: closed
}

func newSockets(port uint16) (*sockets, error) {
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	s := &sockets{port: port, open: map[netip.Addr]int{}, bell: bell}
	s.listen(nil)
	return s, nil
}

func (s *sockets) listen(addresses []netip.Addr) map[netip.Addr]error {
	wanted := map[netip.Addr]bool{}
	failed := map[netip.Addr]error{}
	for _, a := range addresses {
		wanted[a] = true
		if _, is := s.open[a]; is {
			continue
		}
		fd, err := openSocket(netip.AddrPortFrom(a, s.port))
		if err != nil {
			failed[a] = err
			continue
		}
		s.open[a] = fd
	}
	s.poll, s.local = []unix.PollFd{{Fd: int32(s.bell), Events: unix.POLLIN}}, nil
	for a, fd := range s.open {
		if !wanted[a] {
			unix.Close(fd)
			delete(s.open, a)
			continue
		}
		s.poll, s.local = append(s.poll, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}), append(s.local, a)
	}
	return failed
}

func (s *sockets) wait(d time.Duration, hear func(local, from netip.Addr, b []byte)) (woken bool) {
	timeout := unix.NsecToTimespec(int64(max(d, 0)))
	_, err := unix.Ppoll(s.poll, &timeout, nil)
	for errors.Is(err, unix.EINTR) { // by a signal of the runtime's: look all the same
		timeout = unix.Timespec{}
		_, err = unix.Ppoll(s.poll, &timeout, nil)
	}
	if err != nil {
		time.Sleep(time.Millisecond) // no memory: no reason to spin
		return false
	}
	for i, p := range s.poll[1:] {
		if p.Revents != 0 {
			s.take(int(p.Fd), s.local[i], hear)
		}
	}
	if s.poll[0].Revents == 0 {
		return false
	}
	var count [8]byte
	unix.Read(s.bell, count[:]) // whatever it counts
	return true
}

// take hears what the kernel has.
func (s *sockets) take(fd int, local netip.Addr, hear func(local, from netip.Addr, b []byte)) {
	for range atOnce {
		n, from, err := unix.Recvfrom(fd, s.buffer[:], unix.MSG_DONTWAIT)
		if err != nil { // nothing is left, or the kernel tells of the network
			return
		}
		switch a := from.(type) {
		case *unix.SockaddrInet4:
			hear(local, netip.AddrFrom4(a.Addr), s.buffer[:n])
		case *unix.SockaddrInet6:
			hear(local, netip.AddrFrom16(a.Addr), s.buffer[:n])
		}
	}
}

func (s *sockets) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bell >= 0 {
		unix.Write(s.bell, []byte{7: 1}) // fails only if it has been rung very often
	}
}

func (s *sockets) close() {
	s.listen(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	unix.Close(s.bell)
	s.bell = -1
}

// send never waits: a packet that is late is worth nothing.
func (s *sockets) send(e ends, b []byte) error {
	fd, is := s.open[e.local]
	if !is {
		return fmt.Errorf("%s is closed", e.local)
	}
	return unix.Sendto(fd, b, unix.MSG_DONTWAIT, sockaddr(netip.AddrPortFrom(e.remote, s.port)))
}

func openSocket(at netip.AddrPort) (fd int, err error) {
	family, level, free, class := unix.AF_INET, unix.IPPROTO_IP, unix.IP_FREEBIND, unix.IP_TOS
	if at.Addr().Is6() {
		family, level, free, class = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, unix.IPV6_TCLASS
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a UDP socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, level, free, 1), // an address that comes later, or is being checked for duplicates, will do
		unix.SetsockoptInt(fd, level, class, classCS6),
		unix.Bind(fd, sockaddr(at)),
	)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen for heartbeats at UDP %s: %w", at, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
