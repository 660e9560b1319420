// SPDX-License-Identifier: Apache-2.0

package quorum_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
)

// A cluster that is founded again, by the same name and at the same addresses, is
// another one: members of the former one, which may come back with their data, must
// not take it for theirs, nor run beside it.
func TestFoundAgainIsAnotherCluster(t *testing.T) {
	c := newCluster(t)
	c.join("n2")
	c.join("n3")
	n1, n2, n3 := c.nodes["n1"], c.nodes["n2"], c.nodes["n3"]
	n1.cfg.Others = []string{"https://" + n2.cfg.Client.String(), "https://" + n3.cfg.Client.String()}
	put(t, n1.Client(), "old")
	was, err := n1.Client().Status(within(t, patience), "https://"+n1.cfg.Client.String())
	check(t, err)
	for _, n := range []*node{n1, n2, n3} {
		quorumtest.Close(t, n.Member)
	}
	c.wipe("n1")
	check(t, quorum.Found(within(t, patience), n1.cfg, func(ctx context.Context, client *quorum.Client) error {
		_, err := client.Put(ctx, "new", "1")
		return err
	}))
	c.start("n1")
	c.has(n1.Client(), "new")
	is, err := n1.Client().Status(within(t, patience), "https://"+n1.cfg.Client.String())
	check(t, err)
	if is.Header.ClusterId == was.Header.ClusterId {
		t.Error("both clusters have the same number")
	}

	// Two members of three, with their data: they would be a majority.
	for _, n := range []*node{n2, n3} {
		m, err := quorum.Start(within(t, patience), n.cfg)
		if err == nil {
			quorumtest.Close(t, m)
		}
		if !errors.Is(err, quorum.ErrOther) {
			t.Errorf("%s comes up beside another cluster: %v", n.cfg.Name, err)
		}
	}
	// Without them they come in.
	c.wipe("n2")
	check(t, quorum.Admit(within(t, patience), n1.Client(), "n2", "https://"+n2.cfg.Peer.String()))
	c.start("n2")
	c.votes("n2")
	c.has(n2.Client(), "new")
	// And come back, with the data that they have now.
	quorumtest.Close(t, n2.Member)
	c.start("n2")
}

// A founding that fails leaves nothing that could be started.
func TestFoundIsAllOrNothing(t *testing.T) {
	cfg := quorumtest.Config(t, "n1")
	failure := errors.New("no")
	if err := quorum.Found(within(t, patience), cfg, func(context.Context, *quorum.Client) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if _, err := quorum.Start(within(t, patience), cfg); !errors.Is(err, quorum.ErrNoData) {
		t.Errorf("started: %v", err)
	}
	// One that was cut off half-way, and the number of a cluster that is gone, are no hindrance.
	check(t, os.MkdirAll(filepath.Join(cfg.Dir, "founding", "member", "wal"), 0o700))
	check(t, os.WriteFile(filepath.Join(cfg.Dir, "cluster"), []byte("1234\n"), 0o600))
	check(t, quorum.Found(within(t, patience), cfg, nil))
	quorumtest.Close(t, quorumtest.Start(t, cfg))
	quorumtest.Start(t, cfg)
}
