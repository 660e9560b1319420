// SPDX-License-Identifier: Apache-2.0

// Package double has small servers for tests: well-behaved, but for one stage
// of their first session, at which they do as told.
//
// It must never be taken for a server: each knows just what the clients of the
// traffic tools say.
package double

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Reaction is what a double does at a stage of its first session: it says something in the place of what is due, then
// goes on, ends the connection or falls silent.
type Reaction struct {
	Stage string
	Say   string // TAG stands for the command's tag
	End   string // "", "close", "reset" or "silence"
}

// double is what all servers have in common.
type double struct {
	Addr     string
	reaction Reaction
	conns    atomic.Int32
	quits    atomic.Int32

	mu   sync.Mutex
	open map[net.Conn]bool
}

// Cut closes all connections.
func (d *double) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.open {
		conn.Close()
	}
}

// note keeps a connection for Cut until the function returned is called.
func (d *double) note(conn net.Conn) (forget func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = make(map[net.Conn]bool)
	}
	d.open[conn] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, conn)
		conn.Close()
	}
}

// Conns counts the connections that were accepted.
func (d *double) Conns() int { return int(d.conns.Load()) }

// Quits counts the sessions that the client ended politely.
func (d *double) Quits() int { return int(d.quits.Load()) }

// start serves until the test ends.
func (d *double) start(t *testing.T, serve func(conn *net.TCPConn, first bool)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			first := d.conns.Add(1) == 1
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			wg.Go(func() {
				defer stop()
				defer d.note(conn)()
				serve(conn.(*net.TCPConn), first)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}

// at says what is due at a stage and reports whether the session goes on.
func (d *double) at(conn *net.TCPConn, first bool, stage, tag, say string) bool {
	if !first || stage != d.reaction.Stage {
		_, err := io.WriteString(conn, say)
		return err == nil
	}
	io.WriteString(conn, strings.ReplaceAll(d.reaction.Say, "TAG", tag))
	return d.end(conn)
}

func (d *double) end(conn *net.TCPConn) (goesOn bool) {
	switch d.reaction.End {
	case "reset":
		conn.SetLinger(0)
		return false
	case "close":
		return false
	case "silence":
		io.Copy(io.Discard, conn)
		return false
	}
	return true
}
