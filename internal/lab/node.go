// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Node is one machine of the lab. Its files survive a power cut, as those on a
// real disk do; what it had in memory does not. Only the shared disk loses
// what was not synced.
type Node struct {
	lab    *Lab
	name   string
	number int
}

// Name returns "node1" and so on, which is also the host name inside.
func (n *Node) Name() string { return n.name }

// Addr4 returns the node's own IPv4 address on eth0.
func (n *Node) Addr4() netip.Addr { return ip4(nodeOctet + n.number) }

// Addr6 returns the node's own IPv6 address on eth0.
func (n *Node) Addr6() netip.Addr { return ip6(nodeOctet + n.number) }

func (n *Node) dir() string       { return filepath.Join(dataDir(n.lab.name), "nodes", n.name) }
func (n *Node) root() string      { return filepath.Join(n.dir(), "merged") }
func (n *Node) upper() string     { return filepath.Join(n.dir(), "upper") }
func (n *Node) stateFile() string { return filepath.Join(runDir(n.lab.name), n.name+".json") }
func (n *Node) cgroup() cgroup    { return labCgroup(n.lab.name, n.name) }

func (n *Node) errorf(format string, args ...any) error {
	return fmt.Errorf("lab %s: %s: "+format, append([]any{n.lab.name, n.name}, args...)...)
}

// state returns who runs the node; all zero when it never ran.
func (n *Node) state() (nodeState, error) {
	var s nodeState
	err := load(n.stateFile(), &s)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	return s, err
}

// Running tells whether the node's PID 1 is alive, paused or not.
func (n *Node) Running() bool {
	s, err := n.state()
	return err == nil && s.Leader.alive()
}

// LeaderPID returns the node's PID 1 as the host sees it, or ErrNotRunning. Its
// entry in /proc leads to the node's root and namespaces. A virtual machine has none
// that the host sees: ErrVirtual.
func (n *Node) LeaderPID() (int, error) {
	if n.Virtual() {
		return 0, n.errorf("%w", ErrVirtual)
	}
	s, err := n.state()
	if err != nil {
		return 0, n.errorf("%w", err)
	}
	if !s.Leader.alive() {
		return 0, n.errorf("%w", ErrNotRunning)
	}
	return s.Leader.PID, nil
}

// DBusSocket returns the node's system bus as a path of the host.
func (n *Node) DBusSocket() (string, error) {
	pid, err := n.LeaderPID()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/root/run/dbus/system_bus_socket", pid), nil
}

// Command returns a command that runs inside the node, as root in the root
// directory, ready to be given pipes and started. Its processes die with ctx
// and with the node.
func (n *Node) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	enter, err := n.enter()
	if err != nil {
		return nil, err
	}
	cmd := command(ctx, n.execGroup(), append(enter, argv...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
	}
	return cmd, nil
}

// enter is the program that runs a command in the node.
func (n *Node) enter() ([]string, error) {
	if n.Virtual() {
		if !n.Running() {
			return nil, n.errorf("%w", ErrNotRunning)
		}
		return []string{n.lab.binary(), "enter", "-name", n.lab.name, n.name, "--"}, nil
	}
	pid, err := n.LeaderPID()
	if err != nil {
		return nil, err
	}
	return []string{"nsenter", "-t", strconv.Itoa(pid), "--all", "--root", "--wd", "--"}, nil
}

// execGroup holds what is run from outside, beside nspawn's own two groups.
func (n *Node) execGroup() cgroup { return labCgroup(n.lab.name, n.name, "exec") }

// Exec runs a program inside the node to its end. An exit code other than 0 is
// not an error, nor is a program that does not exist (127). Death by a signal,
// the end of ctx, and a node that is off or goes off meanwhile (ErrNotRunning)
// are.
func (n *Node) Exec(ctx context.Context, argv ...string) (Result, error) {
	cmd, err := n.Command(ctx, argv...)
	if err != nil {
		return Result{ExitCode: -1}, err
	}
	r, err := result(ctx, cmd)
	if err == nil && r.ExitCode != 0 && !n.Running() {
		err = ErrNotRunning // what failed may have been entering it
	}
	if err != nil {
		return r, n.errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return r, nil
}

// Output runs a program inside the node and returns its trimmed standard
// output; any exit code but 0 is an error that carries what it said.
func (n *Node) Output(ctx context.Context, argv ...string) (string, error) {
	r, err := n.Exec(ctx, argv...)
	return output(r, err, "lab "+n.lab.name+": "+n.name, argv)
}

// Push writes a file into the node, running or not, and the directories above
// it. Paths that leave the node's root by a link are refused.
func (n *Node) Push(path string, data []byte, mode os.FileMode) error {
	if n.Virtual() && n.Running() {
		return n.pushInside(path, data, mode)
	}
	dir := n.root()
	if pid, err := n.LeaderPID(); err == nil { // sees /run and /tmp as well
		dir = fmt.Sprintf("/proc/%d/root", pid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return n.errorf("%w", err)
	}
	defer root.Close()
	name := strings.TrimPrefix(path, "/")
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return n.errorf("push %s: %w", path, err)
	}
	if err := root.WriteFile(name, data, mode); err != nil {
		return n.errorf("push %s: %w", path, err)
	}
	if err := root.Chmod(name, mode); err != nil { // whatever the umask
		return n.errorf("push %s: %w", path, err)
	}
	return nil
}

// Journal returns the last lines of the node's journal, of all boots, whether
// it runs or not.
func (n *Node) Journal(ctx context.Context, lines int) (string, error) {
	if n.Virtual() && n.Running() { // it may not have written all of it to its root
		return n.Output(ctx, "journalctl", "--no-pager", "--output=short-precise", "--lines", strconv.Itoa(lines))
	}
	out, err := exec.CommandContext(ctx, "journalctl", "--directory", filepath.Join(n.root(), "var/log/journal"),
		"--no-pager", "--output=short-precise", "--lines", strconv.Itoa(lines)).CombinedOutput()
	if err != nil {
		return string(out), n.errorf("journal: %w", err)
	}
	return string(out), nil
}
