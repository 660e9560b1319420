// SPDX-License-Identifier: Apache-2.0

// Package quorumtest gives tests an etcd of their own, in their own process.
//
// It must never be linked into a program, and never leave anything behind.
package quorumtest

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/quorum"
)

// patience is how long things may take that take a second at most by themselves.
const patience = 30 * time.Second

// Single runs a cluster of one member for as long as the test does.
func Single(t testing.TB) *quorum.Member {
	t.Helper()
	cfg := Config(t, "n1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := quorum.Found(ctx, cfg, nil); err != nil {
		t.Fatal(err)
	}
	return Start(t, cfg)
}

// Start runs a member for as long as the test does, or until the test closes it.
func Start(t testing.TB, cfg quorum.Config) *quorum.Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := quorum.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(t, m) })
	return m
}

// Close ends a member.
func Close(t testing.TB, m *quorum.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Config is of a member on loopback ports that were free a moment ago, without TLS.
func Config(t testing.TB, name string) quorum.Config {
	t.Helper()
	return quorum.Config{
		Name: name, Cluster: "test", Dir: filepath.Join(t.TempDir(), "etcd"),
		Peer: Port(t), Client: Port(t),
	}
}

// Port is a loopback port that the kernel says is free.
func Port(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}
