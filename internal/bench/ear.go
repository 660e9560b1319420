// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/mdlayher/arp"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab"
)

// ear hears the ARP packets of one machine on the network.
type ear struct {
	fd  int
	mac net.HardwareAddr
	end chan struct{}

	mu    sync.Mutex
	first map[netip.Addr]time.Time // announcement
	all   []time.Time
}

// listen begins to hear on another machine of the lab.
func listen(on *lab.Host, mac net.HardwareAddr) (*ear, error) {
	e := &ear{mac: mac, first: map[netip.Addr]time.Time{}, end: make(chan struct{})}
	err := on.Do(func() (err error) {
		const proto = unix.ETH_P_ARP>>8 | unix.ETH_P_ARP&0xff<<8 // in network order
		if e.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto); err != nil {
			return err
		}
		const room = 8 << 20
		if err = unix.SetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room); err == nil {
			err = unix.SetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		}
		if err == nil {
			err = unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hear ARP: %w", err)
	}
	go e.hear()
	return e, nil
}

func (e *ear) close() {
	close(e.end)
}

func (e *ear) hear() {
	defer unix.Close(e.fd)
	b, oob := make([]byte, 2048), make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		select {
		case <-e.end:
			return
		default:
		}
		n, oobn, _, _, err := unix.Recvmsg(e.fd, b, oob, 0)
		if err != nil {
			continue // nothing has come for a while
		}
		e.take(b[:n], stamp(oob[:oobn]))
	}
}

func (e *ear) take(frame []byte, at time.Time) {
	const header = 14
	var p arp.Packet
	if len(frame) < header || !bytes.Equal(frame[6:12], e.mac) || p.UnmarshalBinary(frame[header:]) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, at)
	if _, known := e.first[p.SenderIP]; !known && p.SenderIP == p.TargetIP {
		e.first[p.SenderIP] = at
	}
}

// stamp is when the kernel took a packet in.
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

// announced counts addresses.
func (e *ear) announced() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.first)
}

// span is from the first announcement of the first address to that of the last one.
func (e *ear) span() (first, last time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, at := range e.first {
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last
}

// most is how many packets came within such a time at most.
func (e *ear) most(within time.Duration) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	most, from := 0, 0
	for i, at := range e.all {
		for at.Sub(e.all[from]) >= within {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// hardware is the MAC of a node.
func hardware(n *lab.Node) (net.HardwareAddr, error) {
	pid, err := n.LeaderPID()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/sys/class/net/eth0/address", pid))
	if err != nil {
		return nil, err
	}
	return net.ParseMAC(strings.TrimSpace(string(text)))
}
