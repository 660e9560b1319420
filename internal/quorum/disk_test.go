// SPDX-License-Identifier: Apache-2.0

package quorum_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
)

// etcd ends its program when its disk fails. Ours has VIPs to let go of: it is
// told instead.
func TestFullDiskDoesNotEndTheProgram(t *testing.T) {
	cfg := quorumtest.Config(t, "n1")
	var said safeBuffer
	cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
	check(t, os.MkdirAll(cfg.Dir, 0o700))
	check(t, unix.Mount("tmpfs", cfg.Dir, "tmpfs", 0, "size=160m"))
	t.Cleanup(func() { unix.Unmount(cfg.Dir, unix.MNT_DETACH) })
	check(t, quorum.Found(within(t, patience), cfg, nil))
	m, err := quorum.Start(within(t, patience), cfg)
	check(t, err)
	fill(t, cfg.Dir)
	for m.Err() == nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := m.Client().Put(ctx, "k", strings.Repeat("x", 100_000))
		cancel()
		if err != nil {
			t.Log(err)
			break
		}
	}
	select {
	case <-m.Done():
		t.Logf("told: %v", m.Err())
	case <-time.After(patience):
		t.Fatalf("the program was not told:\n%s", said.String())
	}
	if !errors.Is(m.Err(), syscall.ENOSPC) {
		t.Error("without the cause")
	}
	// etcd is left with locks that nobody opens: closing may not succeed, but ends.
	if err := m.Close(within(t, 2*time.Second)); err != nil {
		t.Log(err)
	}
}

// fill leaves no room on the file system of a directory.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	check(t, err)
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
