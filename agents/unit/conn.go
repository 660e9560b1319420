// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	systemdName  = "org.freedesktop.systemd1"
	systemdPath  = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerFace  = "org.freedesktop.systemd1.Manager"
	unitFace     = "org.freedesktop.systemd1.Unit"
	propsFace    = "org.freedesktop.DBus.Properties"
	signalBuffer = 64          // far more than a unit has jobs or changes between two reads
	byeTimeout   = time.Second // for taking a match rule back
)

// conn is one connection to systemd by way of a message bus.
type conn struct {
	raw       net.Conn
	bus       *dbus.Conn
	private   bool // with systemd itself at the other end, and no bus between
	listeners *listeners
}

// connect opens a connection, to a bus or a private one to systemd itself, and
// authenticates as the effective user. ctx ends with this function; the connection lives
// until close or the other end ends it.
func connect(ctx context.Context, dial dialFunc, private bool) (*conn, error) {
	raw, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	ls := &listeners{all: map[*listener]struct{}{}}
	bus, err := dbus.NewConn(&stream{raw, bufio.NewReader(raw)}, dbus.WithSignalHandler(ls))
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	err = bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil && !private {
		err = bus.Hello()
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		bus.Close()
		return nil, fmt.Errorf("log in to the system bus: %w", err)
	}
	c := &conn{raw, bus, private, ls}
	if private {
		if err := c.knock(ctx); err != nil {
			bus.Close()
			return nil, fmt.Errorf("ask systemd on its own socket: %w", err)
		}
	}
	return c, nil
}

// knock asks systemd to say something, and again until it does: a call that arrives
// together with the end of the login stays unread (systemd 252) until more arrives.
func (c *conn) knock(ctx context.Context) error {
	again := time.NewTicker(firstPause)
	defer again.Stop()
	for {
		call := c.send(ctx, systemdPath, "org.freedesktop.DBus.Peer.Ping")
		select {
		case <-call.Done:
			return call.Err
		case <-again.C:
		}
	}
}

func (c *conn) close() error { return c.bus.Close() }

// lost is closed when the connection is of no more use.
func (c *conn) lost() <-chan struct{} { return c.bus.Context().Done() }

// send sends a call to systemd and doesn't wait. The result's Done gets the call when
// it is answered, ctx ends or the connection is lost.
func (c *conn) send(ctx context.Context, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return c.sendTo(ctx, c.bus.Object(systemdName, path), method, 0, args...)
}

// match sends a call about a match rule to the bus.
func (c *conn) match(ctx context.Context, method string, flags dbus.Flags, rule string) *dbus.Call {
	return c.sendTo(ctx, c.bus.BusObject(), "org.freedesktop.DBus."+method, flags, rule)
}

// sendTo breaks the connection if ctx ends before the call is sent: the bus takes no
// bytes any more, and whoever tried to send something else would wait as well.
func (c *conn) sendTo(ctx context.Context, to dbus.BusObject, method string, flags dbus.Flags, args ...any) *dbus.Call {
	if ctx.Err() == nil {
		defer context.AfterFunc(ctx, func() { c.raw.Close() })()
	}
	return to.GoWithContext(ctx, method, flags, make(chan *dbus.Call, 1), args...)
}

// manage calls a method of systemd's manager object and stores what it returns.
func (c *conn) manage(ctx context.Context, method string, args []any, results ...any) error {
	call := <-c.send(ctx, systemdPath, managerFace+"."+method, args...).Done
	return call.Store(results...)
}

// listener gets the signals that accept says yes to. What doesn't fit into the
// channel is dropped: who listens must also look from time to time.
type listener struct {
	conn   *conn
	rules  []string
	accept func(*dbus.Signal) bool
	ch     chan *dbus.Signal
}

// listen asks the bus for the signals of rules (D-Bus Specification, "Match Rules") and
// systemd for sending signals at all.
func (c *conn) listen(ctx context.Context, accept func(*dbus.Signal) bool, rules ...string) (*listener, error) {
	if c.private {
		rules = nil // there is nobody to choose; systemd sends all it has
	}
	l := &listener{c, rules, accept, make(chan *dbus.Signal, signalBuffer)}
	c.listeners.add(l)
	calls := make([]*dbus.Call, len(rules))
	for i, rule := range rules {
		calls[i] = c.match(ctx, "AddMatch", 0, rule)
	}
	err := c.manage(ctx, "Subscribe", nil)
	if err != nil && answered(err) {
		err = nil // AlreadySubscribed
	}
	for i, rule := range rules {
		if call := <-calls[i].Done; call.Err != nil {
			err = fmt.Errorf("bus refused match rule %q: %w", rule, call.Err)
		}
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close takes the rules back. Nobody waits for that: the bus drops them with the
// connection anyway.
func (l *listener) close() {
	l.conn.listeners.remove(l)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
		defer cancel()
		for _, rule := range l.rules {
			l.conn.match(ctx, "RemoveMatch", dbus.FlagNoReplyExpected, rule)
		}
	}()
}

// listeners hands signals on in the order in which they came, and before the replies
// that came after them. It runs in the connection's reading goroutine and never blocks it.
type listeners struct {
	mu  sync.Mutex
	all map[*listener]struct{}
}

func (ls *listeners) add(l *listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.all[l] = struct{}{}
}

func (ls *listeners) remove(l *listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.all, l)
}

// DeliverSignal implements dbus.SignalHandler.
func (ls *listeners) DeliverSignal(_, _ string, s *dbus.Signal) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.all {
		if !l.accept(s) {
			continue
		}
		select {
		case l.ch <- s:
		default:
		}
	}
}

// stream reads with a buffer, and ends the connection when a write fails: half a
// message may be out, and a reader that waits must learn of it.
type stream struct {
	net.Conn
	r *bufio.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		s.Conn.Close()
	}
	return n, err
}
