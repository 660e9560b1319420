// SPDX-License-Identifier: Apache-2.0

package rival

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// Address is what all of them keep.
const Address = scenario.MTAAddr4

// PIDFile has the process ID of Postfix's first process, in the node.
const PIDFile = "/srv/mail/queue/pid/master.pid"

// Ground is three nodes with Postfix and mailha installed, on which nothing runs, and a
// judge who watches the address from outside.
type Ground struct {
	Lab     *lab.Lab
	watcher *lab.Host
}

var judge4, judge6 = netip.MustParseAddr("10.77.0.102"), netip.MustParseAddr("fd77::102")

// Up brings it up. Source is the directory of this module. Progress goes to log.
func Up(ctx context.Context, name, source string, log io.Writer) (*Ground, error) {
	l, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 3, Log: log})
	if err != nil {
		return nil, err
	}
	g := &Ground{Lab: l}
	if err := g.furnish(ctx, source); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return g, nil
}

func (g *Ground) furnish(ctx context.Context, source string) (err error) {
	cmd := exec.CommandContext(ctx, "make", "-s", "install", "DESTDIR="+filepath.Join(g.Lab.ShareDir(), "install"))
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	if err := g.Lab.Each(func(n *lab.Node) error { return scenario.Furnish(ctx, n) }); err != nil {
		return err
	}
	g.watcher, err = g.Lab.AddHost(ctx, "judge", judge4, judge6)
	return err
}

// Down removes everything, and leaves the nodes' journals in dir.
func (g *Ground) Down(dir string) error {
	const patience, lines = 20 * time.Second, 20000
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, n := range g.Lab.Nodes() {
		journal, err := n.Journal(ctx, lines)
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, g.Lab.Name()+"-"+n.Name()+".journal"), []byte(journal), 0o644))
	}
	return errors.Join(append(errs, g.Lab.Down())...)
}

// Judge begins to watch who answers for the address.
func (g *Ground) Judge() (*judge.Judge, error) {
	cfg := judge.Config{Host: g.watcher, Own4: judge4, Own6: judge6, Addrs: []netip.Addr{netip.MustParseAddr(Address)}}
	for _, n := range g.Lab.Nodes() {
		cfg.Nodes = append(cfg.Nodes, judge.Node{Name: n.Name(), PID: n.LeaderPID})
	}
	return judge.Start(cfg)
}

// Holders are the nodes that have the address, without asking anybody who is at work.
func (g *Ground) Holders() []*lab.Node {
	var found []*lab.Node
	for _, n := range g.Lab.Nodes() {
		pid, err := n.LeaderPID()
		if err != nil {
			continue
		}
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/fib_trie", pid)) // of its network namespace
		if err == nil && bytes.Contains(table, []byte("-- "+Address+"\n")) {
			found = append(found, n)
		}
	}
	return found
}

// untilOne waits until one node has the address, and that one if it is given.
func (g *Ground) untilOne(ctx context.Context, want *lab.Node) error {
	return poll(ctx, func() error {
		held := g.Holders()
		if len(held) == 1 && (want == nil || held[0] == want) {
			return nil
		}
		var names []string
		for _, n := range held {
			names = append(names, n.Name())
		}
		return fmt.Errorf("%s is on %d nodes: %s", Address, len(held), strings.Join(names, " "))
	})
}

// poll asks until there is nothing wrong.
func poll(ctx context.Context, wrong func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := wrong()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
