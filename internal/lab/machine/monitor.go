// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Monitor is a connection to QEMU, which speaks QMP: JSON, a line each
// (docs/interop/qmp-spec.rst of QEMU). One at a time is served.
type Monitor struct {
	c     net.Conn
	lines *bufio.Scanner
}

// Event is something that QEMU tells of by itself: WATCHDOG, RESET, SHUTDOWN and more.
type Event struct {
	Name string
	At   time.Time // of the host's clock
}

// message is whatever QEMU sends.
type message struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event     string `json:"event"`
	Timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	} `json:"timestamp"`
}

// OpenMonitor connects to the socket.
func OpenMonitor(ctx context.Context, socket string) (*Monitor, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	m := &Monitor{c: c, lines: bufio.NewScanner(c)}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if !m.lines.Scan() { // its greeting
		return nil, errors.Join(fmt.Errorf("monitor: no greeting: %w", m.lines.Err()), c.Close())
	}
	if err := m.Do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return m, nil
}

// Close ends the connection.
func (m *Monitor) Close() error { return m.c.Close() }

// Do has a command executed. Events that come before its answer are lost.
func (m *Monitor) Do(ctx context.Context, command string, arguments map[string]any) error {
	stop := context.AfterFunc(ctx, func() { _ = m.c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	call := map[string]any{"execute": command}
	if arguments != nil {
		call["arguments"] = arguments
	}
	data, err := json.Marshal(call)
	if err != nil {
		return err
	}
	if _, err := m.c.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("monitor: %s: %w", command, err)
	}
	for {
		msg, err := m.next()
		switch {
		case err != nil:
			return fmt.Errorf("monitor: %s: %w", command, err)
		case msg.Error != nil:
			return fmt.Errorf("monitor: %s: %s", command, msg.Error.Desc)
		case msg.Return != nil:
			return nil
		}
	}
}

// Await returns the next event of one of the names, and is over when ctx ends.
func (m *Monitor) Await(ctx context.Context, names ...string) (Event, error) {
	stop := context.AfterFunc(ctx, func() { _ = m.c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		msg, err := m.next()
		if err != nil {
			return Event{}, fmt.Errorf("monitor: await %q: %w", names, errors.Join(err, ctx.Err()))
		}
		for _, name := range names {
			if msg.Event == name {
				return Event{name, time.Unix(msg.Timestamp.Seconds, msg.Timestamp.Microseconds*1000)}, nil
			}
		}
	}
}

func (m *Monitor) next() (message, error) {
	var msg message
	if !m.lines.Scan() {
		return msg, errors.Join(errors.New("QEMU has ended the connection"), m.lines.Err())
	}
	err := json.Unmarshal(m.lines.Bytes(), &msg)
	return msg, err
}
