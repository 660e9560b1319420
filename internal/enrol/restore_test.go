// SPDX-License-Identifier: Apache-2.0

package enrol_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// twoNodes is a configuration of n1, which is here, and n2.
func twoNodes(t *testing.T) *resources.Cluster {
	t.Helper()
	dir := t.TempDir()
	client, peer := quorumtest.Port(t), quorumtest.Port(t)
	return &resources.Cluster{
		Name: "test", TLSDir: filepath.Join(dir, "tls"),
		Etcd: resources.Etcd{
			DataDir: filepath.Join(dir, "etcd"), Port: client.Port(), PeerPort: peer.Port(),
			Heartbeat: 100 * time.Millisecond, Election: time.Second,
		},
		Nodes: []resources.Node{
			{Name: "n1", Addresses: []netip.Addr{client.Addr()}},
			{Name: "n2", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 2})}},
		},
	}
}

// snapshot is a saved state of a cluster in which n1 ran mail.
func snapshot(t *testing.T) state.Saved {
	t.Helper()
	store, err := state.Open(quorumtest.Single(t).Client(), state.Options{Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := store.Join(t.Context(), state.Node{Name: "n1", Boot: "b"}, state.Term{TTL: 60e9})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Take(t.Context(), state.Group{Name: "mail"}, state.Claim{Floor: 7}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "saved")
	if err := store.Save(t.Context(), file, nil); err != nil {
		t.Fatal(err)
	}
	saved, err := state.ReadSaved(file)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func TestRestore(t *testing.T) {
	c := twoNodes(t)
	n1, _ := c.Node("n1")
	r := enrol.Restoring{Cluster: c, Node: n1, Saved: snapshot(t), Unheard: []string{"n1", "n2"}, By: "root", StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	refused := func(what, word string, as error) {
		t.Helper()
		_, err := r.Restore(t.Context())
		if err == nil || !strings.Contains(err.Error(), word) || as != nil && !errors.Is(err, as) {
			t.Errorf("%s: %v", what, err)
		}
	}

	unlock, err := enrol.Lock(r.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	refused("mailhad runs here", "systemctl stop mailhad", nil)
	unlock()

	other, err := net.Listen("tcp", fmt.Sprint("127.0.0.2:", c.Etcd.PeerPort))
	if err != nil {
		t.Fatal(err)
	}
	refused("etcd runs on n2", "n2", enrol.ErrAlive)
	if _, err := os.Stat(c.TLSDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made all the same: %v", err)
	}
	other.Close()

	newAuthority, err := r.Restore(t.Context())
	if err != nil || !newAuthority {
		t.Fatal(newAuthority, err)
	}
	refused("there are data", "already holds the data of a cluster", nil)

	m := quorumtest.Start(t, enrol.Member(c, n1, r.Log))
	peers, err := quorum.Peers(t.Context(), m.Client())
	if err != nil || len(peers) != 2 || peers[0].Name != "" || !peers[0].Learner || !strings.Contains(peers[0].Peer, "127.0.0.2") {
		t.Errorf("the members are %+v, %v", peers, err)
	}
	store, err := state.Open(m.Client(), state.Options{Cluster: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for s := range store.Watch(t.Context()) {
		if s.Stale != nil {
			continue
		}
		if g := s.Groups["mail"]; g.Epoch != 7 || g.Phase != state.Free || len(s.Unheard()) != 2 {
			t.Errorf("got %+v", s)
		}
		break
	}
}

// A node that still has its certificates keeps them, and so may the others.
func TestRestoreKeepsTheAuthority(t *testing.T) {
	c := twoNodes(t)
	n1, _ := c.Node("n1")
	if err := enrol.Found(t.Context(), c, n1, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.Etcd.DataDir); err != nil {
		t.Fatal(err)
	}
	r := enrol.Restoring{Cluster: c, Node: n1, Saved: snapshot(t), Unheard: []string{"n1"}, By: "root", StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if newAuthority, err := r.Restore(t.Context()); err != nil || newAuthority {
		t.Error(newAuthority, err)
	}
}
