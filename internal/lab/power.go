// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab/disk"
)

const (
	// sigPowerOff makes systemd as PID 1 power off, SIGRTMIN+4 (systemd(1)).
	sigPowerOff = unix.Signal(34 + 4)
	// supervisorGrace is how long nspawn may take to notice that its node died.
	supervisorGrace = 2 * time.Second
)

// lock keeps others, in this process or any other, from switching the node.
func (n *Node) lock(ctx context.Context) (func(), error) {
	return lockFile(ctx, filepath.Join(runDir(n.lab.name), n.name+".lock"))
}

// Kill cuts the node's power, and returns nil only when no process of it is
// left: first its wire goes, so that nothing of it is heard any more; then what
// it had not synced to the shared disk; then all processes; and when they are
// proved gone, its mark on the shared disk, so that another node can mount it.
// A node that is off stays off. When ctx ends first, calling Kill again goes on.
func (n *Node) Kill(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return n.errorf("kill: %w", err)
	}
	defer unlock()
	s, err := n.state()
	if err != nil {
		return n.errorf("kill: %w", err)
	}
	if s.Leader.alive() {
		if err := setPort(ctx, n.lab.name, n.name, "down"); err != nil && !errors.Is(err, errNoPort) {
			return n.errorf("kill: cut the wire: %w", err)
		}
	}
	for i := range s.Drives {
		d := &s.Drives[i]
		held, err := disk.CutPower(d.Loop, n.cgroup().pids())
		if err != nil {
			return n.errorf("kill: %w", err)
		}
		d.Held = d.Held || held // by an attempt that did not come to its end
		if err := save(n.stateFile(), s); err != nil {
			return n.errorf("kill: %w", err)
		}
	}
	if err := s.Leader.signal(unix.SIGKILL); err != nil {
		return n.errorf("kill: %w", err)
	}
	if err := n.clear(ctx, s); err != nil {
		return n.errorf("kill: %w", err)
	}
	return nil
}

// PowerOff shuts the node down cleanly, as its own "systemctl poweroff" does.
func (n *Node) PowerOff(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return n.errorf("power off: %w", err)
	}
	defer unlock()
	s, err := n.state()
	if err != nil {
		return n.errorf("power off: %w", err)
	}
	n.cgroup().thaw()
	if err := n.tellOff(ctx, s); err != nil {
		return n.errorf("power off: %w", err)
	}
	if err := s.Leader.wait(ctx); err != nil {
		return n.errorf("power off: %w", err)
	}
	if err := n.clear(ctx, s); err != nil {
		return n.errorf("power off: %w", err)
	}
	return nil
}

// clear awaits the end of a node whose leader was told to go, and takes away
// what it leaves on the host. Its mark on a shared disk goes last, and only
// if it had the disk: else the mark is that of a node that lives.
func (n *Node) clear(ctx context.Context, s nodeState) error {
	n.cgroup().thaw()
	if err := s.Leader.wait(ctx); err != nil {
		return err
	}
	grace, cancel := context.WithTimeout(ctx, supervisorGrace)
	defer cancel()
	if err := s.Supervisor.wait(grace); err != nil {
		if err := s.Supervisor.signal(unix.SIGKILL); err != nil {
			return err
		}
	}
	if err := n.cgroup().clear(ctx); err != nil {
		return err
	}
	for _, wire := range []string{port(n.name), controlPort(n.name)} {
		if err := removePort(ctx, n.lab.name, wire); err != nil && !errors.Is(err, errNoPort) {
			return err
		}
	}
	for i, d := range s.Drives {
		if err := disk.Detach(ctx, d.Loop, dataDir(n.lab.name)); err != nil {
			return err
		}
		if n.Virtual() { // it mounts where the host's kernel does not see it
			holder, err := disk.Holder(n.lab.diskFile(i + 1))
			if err != nil {
				return err
			}
			d.Held = holder == n.name
		}
		if !d.Held {
			continue
		}
		if err := disk.ClearMMP(ctx, n.lab.diskFile(i+1)); err != nil {
			return err
		}
	}
	return save(n.stateFile(), nodeState{})
}

// Pause stops all processes of the node where they stand, as a hung hypervisor
// does. Its kernel part goes on answering ARP, ping and TCP handshakes.
func (n *Node) Pause(ctx context.Context) error { return n.freeze(ctx, true) }

// Resume lets a paused node go on.
func (n *Node) Resume(ctx context.Context) error { return n.freeze(ctx, false) }

func (n *Node) freeze(ctx context.Context, on bool) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return n.errorf("freeze: %w", err)
	}
	defer unlock()
	if !n.Running() {
		return n.errorf("freeze: %w", ErrNotRunning)
	}
	if err := n.cgroup().freeze(ctx, on); err != nil {
		return n.errorf("%w", err)
	}
	return nil
}

// CutLink pulls the node's cable; its eth0 loses carrier. A node that is
// started has its cable in.
func (n *Node) CutLink(ctx context.Context) error { return n.setLink(ctx, "down") }

// MendLink puts the cable back in.
func (n *Node) MendLink(ctx context.Context) error { return n.setLink(ctx, "up") }

func (n *Node) setLink(ctx context.Context, state string) error {
	if !n.Running() {
		return n.errorf("link %s: %w", state, ErrNotRunning)
	}
	if err := setPort(ctx, n.lab.name, n.name, state); err != nil {
		return n.errorf("link %s: %w", state, err)
	}
	if n.Virtual() {
		if err := n.setCarrier(ctx, state == "up"); err != nil {
			return n.errorf("link %s: %w", state, err)
		}
	}
	return nil
}

// Start switches the node on and returns when systemd has finished booting. A
// node that runs is left alone.
func (n *Node) Start(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return n.errorf("start: %w", err)
	}
	defer unlock()
	s, err := n.state()
	if err != nil {
		return n.errorf("start: %w", err)
	}
	if s.Leader.alive() {
		return nil
	}
	if err := n.clear(ctx, s); err != nil { // it may have switched itself off
		return n.errorf("start: left from the last boot: %w", err)
	}
	if err := n.boot(ctx); err != nil {
		return n.errorf("start: %w%s", err, n.console())
	}
	return nil
}

// console quotes the end of what nspawn and the node's console said.
func (n *Node) console() string {
	b, err := os.ReadFile(n.consoleFile())
	if err != nil || len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("; console: %s", b[max(0, len(b)-1000):])
}
