// SPDX-License-Identifier: Apache-2.0

// Package netlink asks the kernel by netlink(7): one question at a time, each answered
// at once. That is all a monitor of addresses needs, and it takes as many
// system calls and nothing else, where the libraries that can do more make a program
// start goroutines, threads and pollers before it asks anything.
//
// It must never take an interrupted, cut off or foreign answer for a whole one.
package netlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bufferLen = 1 << 16 // longer messages are errors; the kernel aims at half of it at most

	// Dumps are interrupted by changes of what they list: a thousand addresses that come
	// or go at once take half a second. After as long as this, something is wrong.
	persistence = 3 * time.Second
	maxPause    = 50 * time.Millisecond // between two attempts
)

var (
	errTruncated   = errors.New("netlink message is too long")
	errInterrupted = errors.New("what is asked for changes all the time")
)

// Conn is a netlink socket in the network namespace of the thread that opened it. Its
// methods may not be called concurrently.
type Conn struct {
	fd  int
	seq uint32
	buf []byte
	end time.Time // of ctx; zero: none
}

// Open opens a socket of a netlink family, such as unix.NETLINK_ROUTE. If ctx has a
// deadline, no single answer is waited for longer than it is away now.
func Open(ctx context.Context, family int) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &Conn{fd: fd, buf: make([]byte, bufferLen)}
	if end, ok := ctx.Deadline(); ok {
		c.end = end
		limit := unix.NsecToTimeval(max(time.Until(end), time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			c.Close()
			return nil, fmt.Errorf("set netlink timeout: %w", err)
		}
	}
	return c, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Do asks for a change: kind is the type of message, such as unix.RTM_NEWADDR, flags are
// unix.NLM_F_* beside those that every request has. The error is the kernel's, a
// unix.Errno, if it refuses.
func (c *Conn) Do(kind, flags int, body []byte) error {
	_, err := c.exchange(kind, flags|unix.NLM_F_ACK, body)
	return err
}

// Dump asks for a list and returns the bodies of its messages. A list that was
// interrupted is asked for again. The error is the kernel's, a unix.Errno, if it refuses.
func (c *Conn) Dump(kind int, body []byte) ([][]byte, error) {
	until := time.Now().Add(persistence)
	if !c.end.IsZero() && c.end.Before(until) {
		until = c.end
	}
	for pause := time.Duration(0); ; pause = min(max(2*pause, time.Millisecond), maxPause) {
		a, err := c.exchange(kind, unix.NLM_F_DUMP, body)
		switch {
		case err != nil:
			return nil, err
		case !a.interrupted:
			return a.bodies, nil
		case time.Now().Add(pause).After(until):
			return nil, errInterrupted
		}
		time.Sleep(pause) // others are at work, too
	}
}

// exchange sends a request and waits for the whole answer.
func (c *Conn) exchange(kind, flags int, body []byte) (answer, error) {
	c.seq++
	req := appendHeader(nil, header{kind: uint16(kind), flags: uint16(flags | unix.NLM_F_REQUEST), seq: c.seq}, body)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return answer{}, fmt.Errorf("send netlink request: %w", err)
	}
	a := answer{seq: c.seq}
	err := a.collect(c.receive)
	return a, err
}

// receive returns the next datagram from the kernel.
func (c *Conn) receive() ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_TRUNC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return nil, fmt.Errorf("wait for the kernel's answer: %w", os.ErrDeadlineExceeded)
		case err != nil:
			return nil, fmt.Errorf("receive netlink message: %w", err)
		case n > len(c.buf):
			return nil, errTruncated
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); ok && kernel.Pid == 0 {
			return slices.Clone(c.buf[:n]), nil
		}
	}
}
