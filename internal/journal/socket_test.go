// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// double is a journal that keeps nothing.
type double struct {
	path string
	conn *net.UnixConn
}

func listen(t *testing.T) *double {
	t.Helper()
	// Not t.TempDir: its name may be too long for a socket.
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &double{path: filepath.Join(dir, "socket")}
	d.start(t)
	t.Cleanup(func() { d.conn.Close() })
	return d
}

func (d *double) start(t *testing.T) {
	t.Helper()
	var err error
	if d.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
}

func (d *double) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(d.conn.Close(), os.Remove(d.path)); err != nil {
		t.Fatal(err)
	}
}

// line waits for the next one.
func (d *double) line(t *testing.T) map[string]string {
	t.Helper()
	if err := d.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<18)
	n, err := d.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return fields(t, buf[:n])
}

// fields reads the protocol as journald does.
func fields(t *testing.T, data []byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			t.Fatalf("a line without an end: %q", data)
		}
		name, value, short := bytes.Cut(head, []byte("="))
		if !short {
			size := binary.LittleEndian.Uint64(rest)
			value, rest = rest[8:8+size], rest[8+size:]
			if rest[0] != '\n' {
				t.Fatalf("no end of line after %q", value)
			}
			rest = rest[1:]
		}
		found[string(name)] = string(value)
		data = rest
	}
	return found
}

func TestNoJournal(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no socket": filepath.Join(dir, "none"), "not a socket": dir, "too long a name": filepath.Join(dir, string(make([]byte, 200)))} {
		t.Run(name, func(t *testing.T) {
			if err := New(path, slog.LevelInfo, origin).Handle(t.Context(), record("x", "k", "v")); err == nil {
				t.Error("nobody heard it, and nobody says so")
			}
		})
	}
}

// A journal may come back between two lines.
func TestJournalStartedAnew(t *testing.T) {
	j := listen(t)
	h := New(j.path, slog.LevelInfo, origin)
	if err := h.Handle(t.Context(), record("first", "k", "v")); err != nil {
		t.Fatal(err)
	}
	j.stop(t)
	if err := h.Handle(t.Context(), record("lost", "k", "v")); err == nil {
		t.Error("written to a journal that is gone")
	}
	j.start(t)
	if err := h.Handle(t.Context(), record("second", "k", "v")); err != nil {
		t.Fatal(err)
	}
	if got := j.line(t)["MESSAGE"]; got != "p_mta: second: k=v" {
		t.Errorf("got %q", got)
	}
}

// Of a journal that takes nothing any more, only one line waits, and not long.
func TestJournalHangs(t *testing.T) {
	j := listen(t)
	h := New(j.path, slog.LevelInfo, origin)
	began := time.Now()
	for {
		err := h.Handle(t.Context(), record("x", "k", "v"))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the socket takes lines without an end")
		}
	}
	// Branches know it, too.
	log := slog.New(h).With("a", 1)
	began = time.Now()
	for range 100 {
		log.Info("more")
	}
	if took := time.Since(began); took > 20*patience {
		t.Errorf("100 lines to a journal that hangs took %s", took)
	}
}
