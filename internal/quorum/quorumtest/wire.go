// SPDX-License-Identifier: Apache-2.0

package quorumtest

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Wire is a way to a server that a test can hold up: connections stay, and
// nothing comes through. It can be cut as well: there are no connections then.
type Wire struct {
	At netip.AddrPort // where the server seems to be
	To netip.AddrPort // where it is

	mu   sync.Mutex
	open [2]chan struct{} // each closed as long as bytes may pass: questions, answers
	cut  bool
	ends map[net.Conn]bool // of all connections
}

// NewWire makes a way to the server for as long as the test runs.
func NewWire(t testing.TB, server netip.AddrPort) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{At: netip.MustParseAddrPort(l.Addr().String()), To: server, ends: map[net.Conn]bool{}}
	for i := range w.open {
		w.open[i] = make(chan struct{})
		close(w.open[i])
	}
	var all sync.WaitGroup
	end := make(chan struct{})
	t.Cleanup(func() {
		close(end)
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server.String())
			if err != nil {
				near.Close()
				continue
			}
			if !w.enter(near, far) {
				continue
			}
			over := make(chan struct{}, 2)
			all.Go(func() { w.pass(0, far, near, end); over <- struct{}{} })
			all.Go(func() { w.pass(1, near, far, end); over <- struct{}{} })
			all.Go(func() {
				select {
				case <-over:
				case <-end:
				}
				w.leave(near, far)
			})
		}
	})
	return w
}

// enter says whether a connection may be; if not, it is closed.
func (w *Wire) enter(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range ends {
		if w.cut {
			c.Close()
		} else {
			w.ends[c] = true
		}
	}
	return !w.cut
}

func (w *Wire) leave(ends ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range ends {
		c.Close()
		delete(w.ends, c)
	}
}

// Cut ends all connections and lets no new ones be, as if nobody served any more.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.ends {
		c.Close()
	}
}

// Mend lets connections be again.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

func (w *Wire) pass(way int, to, from net.Conn, end <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		open := w.open[way]
		w.mu.Unlock()
		select {
		case <-open:
		case <-end:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Hold lets nothing through any more.
func (w *Wire) Hold() { w.hold(0, 1) }

// HoldAnswers lets through what goes to the server, and nothing that comes from it.
func (w *Wire) HoldAnswers() { w.hold(1) }

func (w *Wire) hold(ways ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, way := range ways {
		w.open[way] = make(chan struct{})
	}
}

// Free lets everything through again, also what was held up.
func (w *Wire) Free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, open := range w.open {
		select {
		case <-open:
		default:
			close(open)
		}
	}
}
