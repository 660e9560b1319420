// SPDX-License-Identifier: Apache-2.0

// Package quorumtest gives tests an etcd of their own, in their own process.
//
// It must never be linked into a program, and never leave anything behind.
package quorumtest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/quorum"
)

// patience is how long things may take that take a second at most by themselves.
const patience = 30 * time.Second

// Single runs a cluster of one member for as long as the test does.
func Single(t testing.TB) *quorum.Member {
	t.Helper()
	return single(t, Config(t, "n1"))
}

// Wired is as Single, with a client that reaches the member by a wire.
func Wired(t testing.TB) (*quorum.Member, *clientv3.Client, *Wire) {
	t.Helper()
	cfg := Config(t, "n1")
	m := single(t, cfg)
	wire := NewWire(t, cfg.Client)
	client, err := quorum.Dial(quorum.Endpoints{URLs: []string{"http://" + wire.At.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return m, client, wire
}

func single(t testing.TB, cfg quorum.Config) *quorum.Member {
	t.Helper()
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

// host is a loopback address of this process alone: others that run at the same time take
// none of its ports, and no connection goes out from it.
var host = func() netip.Addr {
	const bits = 22 // of the greatest PID that Linux has
	pid := os.Getpid() & (1<<bits - 1)
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16), byte(pid >> 8), byte(pid)})
}()

var given sync.Map // ports that Port has returned

// Port is a port on a loopback address that the kernel says is free, and another one each
// time.
func Port(t testing.TB) netip.AddrPort {
	t.Helper()
	for {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		at := netip.MustParseAddrPort(l.Addr().String())
		l.Close()
		if _, before := given.LoadOrStore(at, true); !before {
			return at
		}
	}
}
