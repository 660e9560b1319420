// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Socket is where systemd-journald(8) listens.
const Socket = "/run/systemd/journal/socket"

// patience is what a journal gets that does not take what it is sent.
const patience = 100 * time.Millisecond

// socket sends each datagram by a connection of its own: lines are few, and a
// journal may be started anew between two of them.
type socket struct {
	path string
	hung atomic.Bool // nobody waits for it twice
}

func (s *socket) send(datagram []byte) error {
	if s.hung.Load() {
		return errors.New("write to the journal: it hangs")
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	_, err = conn.Write(datagram)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.hung.Store(true)
	}
	if err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	return nil
}
