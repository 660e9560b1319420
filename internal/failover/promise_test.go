// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// The loss of etcd as a whole is nothing to services whose nodes all agree, and
// everything as soon as one of them does not answer.
func TestHoldIfAllPeersAgree(t *testing.T) {
	for name, run := range map[string]func(*silence){"Holds": holds, "OneIsDead": oneIsDead, "OneHasEtcd": oneHasEtcd, "PromiseIsKept": promiseIsKept} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := quorumtest.Config(t, "n1")
			if err := quorum.Found(t.Context(), cfg, nil); err != nil {
				t.Fatal(err)
			}
			s := &silence{cfg: cfg}
			t.Cleanup(func() { quorumtest.Close(t, s.member) }) // after the nodes have left
			s.end()
			s.cluster = newCluster(t, cfg.Client, lease, mail())
			s.files["first"].OnQuorumLoss = resources.HoldIfAllPeersAgree
			s.boot()
			s.on("n1", "mail", "vip", "mta")
			run(s)
		})
	}
}

// silence is a cluster whose etcd can be taken away.
type silence struct {
	*cluster
	cfg    quorum.Config
	member *quorum.Member
}

// begin cuts all ways to etcd before it ends: its end takes seconds as long as somebody
// watches, in which it answers nobody, and ends leases all the same, and tells so.
func (s *silence) begin() {
	for _, w := range s.wires() {
		w.Cut()
	}
	quorumtest.Close(s.t, s.member)
}

func (s *silence) wires() []*quorumtest.Wire {
	wires := []*quorumtest.Wire{s.wire}
	for _, n := range s.nodes {
		wires = append(wires, n.wire)
	}
	return wires
}

func (s *silence) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if s.member, err = quorum.Start(ctx, s.cfg); err != nil {
		panic(err) // nothing can go on
	}
	if s.cluster == nil {
		return
	}
	for _, w := range s.wires() {
		w.Mend()
	}
}

// stays has everything be on n1 without a break for so long.
func (s *silence) stays(d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, r := range []string{"vip", "mta"} {
			if at := s.where(r); len(at) != 1 || at[0] != "n1" {
				s.t.Fatalf("%s is on %v", r, at)
			}
		}
	}
}

func holds(s *silence) {
	began := time.Now()
	s.begin()
	s.stays(3 * lease)
	s.end()
	s.stays(2 * lease)
	s.until("etcd is heard again", func(st state.Snapshot) bool {
		return st.Stale == nil && st.Groups["mail"].Epoch == 1 && st.Groups["mail"].Owner == "n1"
	})
	if s.dropped("n1", began) {
		s.t.Error("addresses were let go")
	}
	s.ask(state.Wish{Kind: state.Move, Group: "mail", Node: "n2"})
	s.on("n2", "mail", "vip", "mta")
}

func oneIsDead(s *silence) {
	s.begin()
	s.stays(lease)
	s.power("n3")
	s.until("it lets go", func(state.Snapshot) bool { return len(s.where("vip")) == 0 })
	s.end()
	s.until("it runs again", func(st state.Snapshot) bool {
		return len(s.where("mta")) == 1 && st.Groups["mail"].Phase == state.Running
	})
}

func oneHasEtcd(s *silence) {
	s.nodes["n1"].wire.Hold()
	took := s.on("n2", "mail", "vip", "mta")
	if took < lease/2 {
		s.t.Errorf("taken over after %s", took)
	}
	s.nodes["n1"].wire.Free()
}

// Whoever has promised and reaches etcd again waits, though etcd says that the asker's
// lease is over.
func promiseIsKept(s *silence) {
	for _, name := range []string{"n1", "n2", "n3"} {
		s.nodes[name].wire.Hold() // etcd itself goes on, and ends all leases
	}
	s.stays(2*lease + margin)
	s.until("all leases are over in etcd", func(st state.Snapshot) bool { return len(st.Nodes) == 0 })
	s.nodes["n2"].wire.Free()
	s.nodes["n3"].wire.Free()
	// It does not know about the end of its lease, and holds on until the others do not
	// agree any more. The world tells if anything was ever on two nodes.
	s.on("n2", "mail", "vip", "mta")
	s.nodes["n1"].wire.Free()
	s.until("n1 is back", func(st state.Snapshot) bool { _, is := st.Nodes["n1"]; return is })
}

// What is promised while a plan is carried out would not be in that plan.
func TestPromisesAndPlansExcludeEachOther(t *testing.T) {
	store, err := state.Open(nil, state.Options{Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	c := &resources.Cluster{Lease: lease, Margin: margin, OnQuorumLoss: resources.HoldIfAllPeersAgree, Nodes: []resources.Node{{Name: "n1"}, {Name: "n2"}}}
	e := New(Config{Cluster: c, Store: store})
	least := e.now().Add(lease + margin)
	if until, done := e.decide(); until["n2"] > least || until["n2"] == 0 {
		t.Errorf("a former daemon's promise to n2 counts until %v", until)
	} else if e.Agree("n2", lease) {
		t.Error("promised while a plan is carried out")
	} else {
		done()
	}
	// Longer than the lease is by now: the heart may have begun with another one.
	for _, d := range []time.Duration{3 * lease, lease} {
		if !e.Agree("n2", d) {
			t.Error("not promised after it")
		}
	}
	until, done := e.decide()
	done()
	if least := least.Add(2 * lease); until["n2"] < least {
		t.Errorf("the next plan takes from n2 at %v, which was promised until %v", until["n2"], least)
	}
	if e.Agree("stranger", lease) {
		t.Error("promised to a node that the configuration has not")
	}
	c.OnQuorumLoss = resources.Release
	if e.Agree("n2", lease) {
		t.Error("promised though the configuration says release")
	}
}
