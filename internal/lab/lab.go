// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab/disk"
	"github.com/mailha/mailha/internal/lab/fence"
	"github.com/mailha/mailha/internal/lab/image"
	"github.com/mailha/mailha/internal/lab/prereq"
)

// diskSize is that of each shared disk, in bytes; the files are sparse.
const diskSize = 256 << 20

// Lab is a set of nodes on one network.
type Lab struct {
	name  string
	state labState
	nodes []*Node
	log   io.Writer

	fencing *fence.Server // nil where another process serves it
	keeper  *keeper       // nil for a detached lab and where another process has it
}

// Up makes the lab and boots its nodes, side by side. The first time on a
// machine it builds the base image, which takes about two minutes and is
// reported to cfg.Log. A lab of that name whose owner is gone is cleared first;
// one whose owner lives is ErrInUse.
func Up(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := prereq.Ensure(ctx, cfg.Log); err != nil {
		return nil, err
	}
	if cfg.Machines > 0 {
		if err := prereq.EnsureMachines(ctx, cfg.Log); err != nil {
			return nil, err
		}
	}
	base, err := image.Ensure(ctx, cfg.Log)
	if err != nil {
		return nil, err
	}
	l := newLab(cfg.Name, labState{
		Nodes: cfg.Nodes, Disks: cfg.Disks, Detached: cfg.Detached,
		Machines: cfg.Machines, Memory: cfg.Memory, Watchdog: cfg.Watchdog,
	})
	l.log = cfg.Log
	if err := l.claim(ctx); err != nil {
		return nil, err
	}
	if err := l.build(ctx, cfg, base); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", l.name, err), l.Down())
	}
	return l, nil
}

// Open returns a lab that is up, whoever its owner is.
func Open(name string) (*Lab, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s, err := loadLab(name)
	if err != nil {
		return nil, err
	}
	if s.Nodes < 1 || s.Nodes > MaxNodes {
		return nil, fmt.Errorf("%s: %d nodes", labFile(name), s.Nodes)
	}
	return newLab(name, s), nil
}

func newLab(name string, s labState) *Lab {
	l := &Lab{name: name, state: s, log: io.Discard}
	for i := range s.Nodes {
		l.nodes = append(l.nodes, &Node{lab: l, name: fmt.Sprintf("node%d", i+1), number: i + 1})
	}
	return l
}

// claim makes this process the owner of the name, under a lock that all who do
// so take.
func (l *Lab) claim(ctx context.Context) error {
	unlock, err := lockLabs(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := loadLab(l.name)
	if err == nil && old.Owner.alive() {
		return fmt.Errorf("lab %s: %w by process %d; take it down or use another name", l.name, ErrInUse, old.Owner.PID)
	}
	if err := clearLab(ctx, l.name); err != nil {
		return fmt.Errorf("lab %s: clear what an earlier one left: %w", l.name, err)
	}
	for _, d := range []string{runDir(l.name), l.ShareDir()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := labCgroup(l.name).create(); err != nil {
		return err
	}
	return l.own()
}

// own makes this process the lab's owner: the lab counts as left over when it
// is gone.
func (l *Lab) own() error {
	self, err := findProcess(os.Getpid())
	if err != nil {
		return err
	}
	l.state.Owner = self
	return save(labFile(l.name), l.state)
}

func (l *Lab) build(ctx context.Context, cfg Config, base string) error {
	start := time.Now()
	err := l.installBinary(ctx, cfg.Binary)
	if err != nil {
		return err
	}
	if !cfg.Detached {
		if l.keeper, err = startKeeper(l); err != nil {
			return err
		}
		if err := l.ServeFencing(); err != nil {
			return err
		}
	}
	if err := makeLAN(ctx, l.name); err != nil {
		return err
	}
	if _, err := l.AddHost(ctx, "client", l.Client().addrs...); err != nil {
		return err
	}
	for number := 1; number <= cfg.Disks; number++ {
		if err := disk.Create(ctx, l.diskFile(number), diskSize); err != nil {
			return err
		}
	}
	below := map[bool][]string{false: {base}}
	if cfg.Machines > 0 {
		layer, err := l.prepareMachines(ctx)
		if err != nil {
			return err
		}
		below[true] = []string{base, layer}
	}
	for _, n := range l.nodes {
		if err := n.prepare(append(below[n.Virtual()], cfg.Layers...)); err != nil {
			return n.errorf("%w", err)
		}
	}
	if err := l.Each(func(n *Node) error { return n.Start(ctx) }); err != nil {
		return err
	}
	fmt.Fprintf(l.log, "lab %s: %d nodes up in %.1f s\n", l.name, len(l.nodes), time.Since(start).Seconds())
	return nil
}

// Name returns the lab's name.
func (l *Lab) Name() string { return l.name }

// Nodes returns all nodes, node1 first.
func (l *Lab) Nodes() []*Node { return l.nodes }

// Node returns the node of that name, nil if there is none.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// Each runs f for all nodes at once and joins their errors.
func (l *Lab) Each(f func(*Node) error) error {
	errs := make([]error, len(l.nodes))
	var wg sync.WaitGroup
	for i, n := range l.nodes {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// ShareDir is the host's path of what nodes see as SharePath.
func (l *Lab) ShareDir() string { return filepath.Join(dataDir(l.name), "share") }

func (l *Lab) diskFile(number int) string {
	return filepath.Join(dataDir(l.name), fmt.Sprintf("disk%d.ext4", number))
}

// hosts is the /etc/hosts of all nodes.
func (l *Lab) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, n := range l.nodes {
		fmt.Fprintf(&b, "%s %s\n%s %[2]s\n", n.Addr4(), n.name, n.Addr6())
	}
	fmt.Fprintf(&b, "%s client\n%s client\n", ip4(clientOctet), ip6(clientOctet))
	return b.String()
}

// downTime is how long taking a lab down may last. Its nodes are killed, not shut down; but
// one lab after the other removes its files, which may be a hundred thousand.
const downTime = 2 * time.Minute

// Down kills the nodes and removes all that belongs to the lab. It does so even
// when the context of Up has ended, and can be called more than once. A lab
// whose owner is another process that lives and is not detached is ErrInUse.
func (l *Lab) Down() error {
	ctx, cancel := context.WithTimeout(context.Background(), downTime)
	defer cancel()
	if l.fencing != nil {
		l.fencing.Close()
		l.fencing = nil
	}
	if err := l.dismissOwner(ctx); err != nil {
		return fmt.Errorf("lab %s: down: %w", l.name, err)
	}
	unlock, err := lockLabs(ctx)
	if err != nil {
		return fmt.Errorf("lab %s: down: %w", l.name, err)
	}
	defer unlock()
	if err := clearLab(ctx, l.name); err != nil {
		return fmt.Errorf("lab %s: down: %w", l.name, err)
	}
	if l.keeper != nil {
		l.keeper.dismiss()
		l.keeper = nil
	}
	return nil
}

// dismissOwner ends the process that serves a detached lab.
func (l *Lab) dismissOwner(ctx context.Context) error {
	owner := l.state.Owner
	if owner.PID == os.Getpid() || !owner.alive() {
		return nil
	}
	if !l.state.Detached {
		return fmt.Errorf("%w by process %d", ErrInUse, owner.PID)
	}
	if err := owner.signal(unix.SIGTERM); err != nil {
		return err
	}
	return owner.wait(ctx)
}

// ServeFencing lets the nodes fence each other until Down, by fence_lab through
// a socket in the shared directory.
func (l *Lab) ServeFencing() error {
	s, err := fence.Listen(filepath.Join(l.ShareDir(), fence.SocketName), l.fenceLog(), power{l})
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	l.fencing = s
	return nil
}

// FenceHistory returns what fence_lab was asked to do, oldest first.
func (l *Lab) FenceHistory() ([]fence.Event, error) { return fence.History(l.fenceLog()) }

func (l *Lab) fenceLog() string { return filepath.Join(runDir(l.name), "fence.log") }

// power gives fencing its hands.
type power struct{ *Lab }

func (p power) Nodes() []string {
	var names []string
	for _, n := range p.nodes {
		names = append(names, n.name)
	}
	return names
}

func (p power) node(name string) (*Node, error) {
	if n := p.Node(name); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("no node %q in lab %s", name, p.name)
}

func (p power) Off(ctx context.Context, name string) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	return n.Kill(ctx)
}

func (p power) On(ctx context.Context, name string) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	return n.Start(ctx)
}

func (p power) IsOn(name string) (bool, error) {
	n, err := p.node(name)
	if err != nil {
		return false, err
	}
	return n.Running(), nil
}
