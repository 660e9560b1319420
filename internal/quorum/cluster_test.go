// SPDX-License-Identifier: Apache-2.0

package quorum_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/trust"
)

const patience = 40 * time.Second

// cluster is several members in this process, with the certificates, tokens and
// doors of a real one.
type cluster struct {
	t     *testing.T
	nodes map[string]*node
	door  netip.AddrPort // of n1
}

type node struct {
	*quorum.Member
	cfg quorum.Config
	dir trust.Dir
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newCluster founds a cluster on n1 and opens its door.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: map[string]*node{}}
	n1 := c.prepare("n1")
	check(t, n1.dir.Found("test", trust.Subject{Name: "n1", Role: trust.RoleNode, Addresses: []netip.Addr{n1.cfg.Peer.Addr()}}, time.Now()))
	check(t, quorum.Found(within(t, patience), n1.cfg, nil))
	c.start("n1")
	store, err := state.Open(n1.Client(), state.Options{Cluster: "test"})
	check(t, err)
	door := &trust.Door{
		Dir: n1.dir, Invitations: store, Log: slog.New(slog.DiscardHandler),
		Admit: func(ctx context.Context, i trust.Invitation) (trust.Welcome, error) {
			if err := quorum.Admit(ctx, n1.Client(), i.Node, "https://"+c.nodes[i.Node].cfg.Peer.String()); err != nil {
				return trust.Welcome{}, err
			}
			peers, err := quorum.Peers(ctx, n1.Client())
			w := trust.Welcome{}
			for _, p := range peers {
				w.Members = append(w.Members, trust.Peer{Name: p.Name, Peer: p.Peer, Client: p.Client})
			}
			return w, err
		},
	}
	server, err := door.Server()
	check(t, err)
	l, err := net.Listen("tcp", netip.AddrPortFrom(n1.cfg.Peer.Addr(), 0).String())
	check(t, err)
	c.door = netip.MustParseAddrPort(l.Addr().String())
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })
	return c
}

func (c *cluster) prepare(name string) *node {
	n := &node{cfg: quorumtest.Config(c.t, name), dir: trust.Dir(filepath.Join(c.t.TempDir(), "tls"))}
	n.cfg.TLS = quorum.Files{CA: n.dir.CA(), Cert: n.dir.Node(), Key: n.dir.Node(), Member: trust.Member}
	n.cfg.Heartbeat, n.cfg.Election = 100*time.Millisecond, time.Second
	c.nodes[name] = n
	return n
}

func (c *cluster) start(name string) {
	c.t.Helper()
	n := c.nodes[name]
	n.Member = quorumtest.Start(c.t, n.cfg)
}

// join lets a node in by a token, and waits until it votes.
func (c *cluster) join(name string) {
	t := c.t
	t.Helper()
	n, n1 := c.prepare(name), c.nodes["n1"]
	authority, err := n1.dir.Authority()
	check(t, err)
	token, invitation, err := trust.Invite("test", trust.Invitation{Node: name, Addresses: []netip.Addr{n.cfg.Peer.Addr()}}, c.door, authority.Fingerprint())
	check(t, err)
	store, err := state.Open(n1.Client(), state.Options{Cluster: "test"})
	check(t, err)
	check(t, store.Invite(within(t, patience), invitation, time.Minute))
	token, err = trust.ParseToken(token.Text())
	check(t, err)
	welcome, err := n.dir.Join(within(t, patience), token)
	check(t, err)
	for _, p := range welcome.Members {
		if p.Client != "" {
			n.cfg.Others = append(n.cfg.Others, p.Client)
		}
	}
	c.start(name)
	c.votes(name)
}

// votes waits until a member does.
func (c *cluster) votes(name string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); c.nodes[name].Learner(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not vote", name)
		}
	}
}

func (c *cluster) wipe(name string) {
	c.t.Helper()
	check(c.t, os.RemoveAll(c.nodes[name].cfg.Dir))
}

func (c *cluster) names(client *clientv3.Client) []string {
	c.t.Helper()
	peers, err := quorum.Peers(within(c.t, patience), client)
	check(c.t, err)
	var names []string
	for _, p := range peers {
		names = append(names, p.Name)
	}
	return names
}

func (c *cluster) has(client *clientv3.Client, key string) {
	c.t.Helper()
	got, err := client.Get(within(c.t, patience), key)
	if err != nil || got.Count != 1 {
		c.t.Errorf("%s is not there: %v, %v", key, got, err)
	}
}

func put(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	_, err := client.Put(within(t, patience), key, "x")
	check(t, err)
}

func TestThreeMembers(t *testing.T) {
	c := newCluster(t)
	c.join("n2")
	c.join("n3")
	n1, n2, n3 := c.nodes["n1"], c.nodes["n2"], c.nodes["n3"]
	if got := c.names(n3.Client()); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("the members are %q", got)
	}
	put(t, n1.Client(), "a")
	c.has(n3.Client(), "a")
	health := n2.Health(within(t, patience))
	if health.Majority != nil || health.Learner || health.Leader == 0 || health.ID != n2.ID() || health.Fsync == 0 || health.Commit == 0 {
		t.Errorf("its health is %+v", health)
	}
	for _, to := range []string{"n3", "n2", "n1"} {
		for name, n := range c.nodes {
			if err := n.Yield(within(t, patience), to); err != nil {
				t.Fatalf("%s yields to %s: %v", name, to, err)
			}
		}
		if !c.nodes[to].Leads() {
			t.Errorf("%s does not lead after all have yielded to it", to)
		}
		put(t, n1.Client(), "led-by-"+to)
	}
	if err := n1.Yield(within(t, patience), "n4"); !errors.Is(err, quorum.ErrNoMember) {
		t.Errorf("to nobody: %v", err)
	}
	if voters := n1.Voters(); len(voters) != 3 {
		t.Errorf("the voters are %q", voters)
	}
}

func trio(t *testing.T) (*cluster, *node, *node, *node) {
	t.Helper()
	c := newCluster(t)
	c.join("n2")
	c.join("n3")
	put(t, c.nodes["n1"].Client(), "a")
	return c, c.nodes["n1"], c.nodes["n2"], c.nodes["n3"]
}

func TestMemberThatLostItsDisk(t *testing.T) {
	c, n1, _, n3 := trio(t)
	quorumtest.Close(t, n3.Member)
	c.wipe("n3")
	_, err := quorum.Start(within(t, patience), n3.cfg)
	if !errors.Is(err, quorum.ErrDiskLost) || !strings.Contains(err.Error(), "replace-member n3") {
		t.Fatalf("it started with nothing: %v", err)
	}
	t.Log(err)
	place := "https://" + n3.cfg.Peer.String()
	if err := quorum.Admit(within(t, patience), n1.Client(), "n3", place); !errors.Is(err, quorum.ErrDiskLost) {
		t.Errorf("admitted beside its former life: %v", err)
	}
	check(t, quorum.Replace(within(t, patience), n1.Client(), "n3"))
	check(t, quorum.Admit(within(t, patience), n1.Client(), "n3", place)) // does nothing
	c.start("n3")
	c.votes("n3")
	c.has(n3.Client(), "a")
	if got := c.names(n1.Client()); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("the members are %q", got)
	}
}

func TestMemberIsRemoved(t *testing.T) {
	c, n1, n2, n3 := trio(t)
	if err := quorum.Remove(within(t, patience), n1.Client(), "n4"); !errors.Is(err, quorum.ErrNoMember) {
		t.Errorf("removed n4: %v", err)
	}
	check(t, quorum.Remove(within(t, patience), n1.Client(), "n3"))
	select {
	case <-n3.Done():
		if !errors.Is(n3.Err(), quorum.ErrRemoved) {
			t.Errorf("it ended for another reason: %v", n3.Err())
		}
	case <-time.After(patience):
		t.Error("it does not know that it was removed")
	}
	quorumtest.Close(t, n3.Member)
	put(t, n2.Client(), "b")
	// Neither with its old data nor with none does it come back by itself.
	m, err := quorum.Start(within(t, patience), n3.cfg)
	if err == nil {
		select {
		case <-m.Done():
			err = m.Err()
		case <-time.After(patience):
		}
		quorumtest.Close(t, m)
	}
	if !errors.Is(err, quorum.ErrRemoved) {
		t.Errorf("started with its old data: %v", err)
	}
	c.wipe("n3")
	if _, err := quorum.Start(within(t, patience), n3.cfg); !errors.Is(err, quorum.ErrNoData) {
		t.Errorf("started with nothing: %v", err)
	}
}

// How long nobody can write when the leader is gone, for the record.
func TestLeaderIsLost(t *testing.T) {
	c, _, _, _ := trio(t)
	var leader, other *node
	for deadline := time.Now().Add(patience); leader == nil; { // it may change between the questions
		if time.Now().After(deadline) {
			t.Fatal("nobody leads")
		}
		for _, n := range c.nodes {
			if n.Health(within(t, patience)).Leader == n.ID() {
				leader = n
			} else {
				other = n
			}
		}
	}
	put(t, other.Client(), "before")
	start := time.Now()
	quorumtest.Close(t, leader.Member) // orderly: it hands over
	closed := time.Since(start)
	put(t, other.Client(), "after")
	t.Logf("closed in %s, the next write was committed after %s", closed, time.Since(start))
}

func TestMajorityIsLost(t *testing.T) {
	c, n1, n2, n3 := trio(t)
	store, err := state.Open(n1.Client(), state.Options{Cluster: "test"})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := store.Watch(ctx)
	session, err := store.Join(ctx, state.Node{Name: "n1", Boot: "b"}, state.Term{TTL: 4 * time.Second})
	check(t, err)
	defer session.Close()
	quorumtest.Close(t, n2.Member)
	quorumtest.Close(t, n3.Member)
	select {
	case <-session.Lost():
	case <-time.After(patience):
		t.Error("the lease goes on without a majority")
	}
	for s := range watch {
		if s.Stale != nil {
			cancel()
		}
	}
	health := n1.Health(within(t, 3*time.Second))
	if health.Majority == nil {
		t.Error("one of three is a majority")
	}
	quorumtest.Close(t, n1.Member)

	// One that waits for the others is there all the same, and can be closed.
	m, err := quorum.Start(within(t, 8*time.Second), n1.cfg) // all of it is waited
	check(t, err)
	quorumtest.Close(t, m)

	check(t, quorum.Rescue(within(t, patience), n1.cfg))
	c.start("n1")
	c.has(n1.Client(), "a")
	put(t, n1.Client(), "b")
	if got := c.names(n1.Client()); !slices.Equal(got, []string{"n1"}) {
		t.Errorf("the members are %q", got)
	}
	c.wipe("n2")
	check(t, quorum.Admit(within(t, patience), n1.Client(), "n2", "https://"+n2.cfg.Peer.String()))
	c.start("n2")
	c.votes("n2")
	c.has(n2.Client(), "b")
}

// A certificate of the same authority that is not a member's opens nothing.
func TestEtcdRefusesWhoIsNoMember(t *testing.T) {
	c := newCluster(t)
	n1 := c.nodes["n1"]
	for name, role := range map[string]trust.Role{"a reader": trust.RoleReader, "an operator": trust.RoleOperator} {
		t.Run(name, func(t *testing.T) {
			authority, err := n1.dir.Authority()
			check(t, err)
			files := quorum.Files{CA: n1.dir.CA(), Cert: filepath.Join(t.TempDir(), "pem")}
			files.Key = files.Cert
			text, err := authority.Identity(trust.Subject{Name: "anna", Role: role}, time.Now())
			check(t, err)
			check(t, os.WriteFile(files.Cert, text, 0o600))
			client, err := quorum.Dial(quorum.Endpoints{URLs: []string{"https://" + n1.cfg.Client.String()}, TLS: files})
			check(t, err)
			defer client.Close()
			if _, err := client.Get(within(t, 2*time.Second), "a"); err == nil {
				t.Error("it may read")
			}
		})
	}
	client, err := quorum.Dial(quorum.Endpoints{URLs: []string{"https://" + n1.cfg.Client.String()}, TLS: quorum.Files{CA: n1.dir.CA()}})
	check(t, err)
	defer client.Close()
	if _, err := client.Get(within(t, 2*time.Second), "a"); err == nil {
		t.Error("who has no certificate may read")
	}
}
