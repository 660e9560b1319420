// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab/image"
	"github.com/mailha/mailha/internal/lab/machine"
)

// ErrVirtual means that the node is a virtual machine: nothing of it is a process, a
// file or a socket of the host.
var ErrVirtual = errors.New("node is a virtual machine")

// Virtual tells whether the node is a virtual machine.
func (n *Node) Virtual() bool { return n.number <= n.lab.state.Machines }

// MAC is the hardware address of a machine's eth0.
func (n *Node) MAC() net.HardwareAddr { return machine.MAC(n.number) }

// controlPort is the host's end of the wire on which commands come to a machine.
func controlPort(node string) string { return "vc-" + node }

func (n *Node) monitorFile() string { return filepath.Join(runDir(n.lab.name), n.name+".monitor") }

func (l *Lab) initramfs() string { return filepath.Join(dataDir(l.name), "initramfs") }

// prepareMachines makes what all machines of the lab boot, and returns the layer that
// their roots need.
func (l *Lab) prepareMachines(ctx context.Context) (layer string, err error) {
	k, err := machine.EnsureKernel(ctx, image.Dir, l.log)
	if err != nil {
		return "", err
	}
	return k.Layer, machine.WriteInitramfs(l.initramfs(), l.binary(), k)
}

// priority of a machine: one that has to wait for a processor looks like one that has
// failed, and needs ten times as much of it as the containers beside it.
const priority = "-10"

// bootMachine starts QEMU inside the bridge's namespace and waits until systemd has
// finished booting.
func (n *Node) bootMachine(ctx context.Context, s nodeState) error {
	if err := n.makeWires(ctx); err != nil {
		return err
	}
	k, err := machine.EnsureKernel(ctx, image.Dir, n.lab.log)
	if err != nil {
		return err
	}
	if err := os.Remove(n.monitorFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c := machine.Config{
		Number: n.number, Memory: n.lab.state.Memory, Kernel: k, Initramfs: n.lab.initramfs(), Root: n.root(), Share: n.lab.ShareDir(),
		Wire: port(n.name), Control: controlPort(n.name), Monitor: n.monitorFile(), Watchdog: n.lab.state.Watchdog,
	}
	for i, d := range s.Drives {
		c.Disks, c.DiskNames = append(c.Disks, d.Loop), append(c.DiskNames, Disk(i+1))
	}
	console, err := os.OpenFile(n.consoleFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	argv := n.cgroup().joining(append([]string{"nsenter", "--net=" + filepath.Join(netnsDir, lanNS(n.lab.name)), "--", "nice", "-n", priority}, c.Argv()...)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	// The shell, nsenter and QEMU are one process after the other.
	if s.Leader, err = findProcess(cmd.Process.Pid); err != nil {
		return err
	}
	s.Supervisor = s.Leader
	if err := save(n.stateFile(), s); err != nil {
		return err
	}
	// Where the scheduler groups processes by session, that is what counts: sched(7).
	group := fmt.Sprintf("/proc/%d/autogroup", s.Leader.PID)
	if err := os.WriteFile(group, []byte(priority), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		cmd.Wait() // reaps it, whenever that is
		cancel(errors.New("QEMU ended before the node had booted"))
	}()
	return n.Booted(ctx)
}

// Booted waits until the systemd of a machine, which may have been reset, has finished
// booting.
func (n *Node) Booted(ctx context.Context) error {
	return poll(ctx, "the machine's systemd", 50*time.Millisecond, func() (bool, error) {
		// Before it has a bus nobody can wait for it.
		r, err := n.Exec(ctx, "sh", "-c", "test -S /run/dbus/system_bus_socket && systemctl is-system-running --wait")
		if err != nil || r.Stdout == "" {
			return false, context.Cause(ctx)
		}
		return r.Stdout == "running\n" || r.Stdout == "degraded\n", nil
	})
}

// makeWires makes the host's ends of a machine's wires.
func (n *Node) makeWires(ctx context.Context) error {
	own, control := port(n.name), controlPort(n.name)
	return tool(ctx, fmt.Sprintf(`tuntap add dev %[1]s mode tap
link set %[1]s master %[2]s up
tuntap add dev %[3]s mode tap
addr add %[4]s dev %[3]s
link set %[3]s up
`, own, bridge, control, machine.ControlHost(n.number)), "ip", "-n", lanNS(n.lab.name), "-batch", "-")
}

// Monitor connects to the machine's QEMU, which serves one connection at a time. Of a
// container it is an error.
func (n *Node) Monitor(ctx context.Context) (*machine.Monitor, error) {
	if !n.Virtual() {
		return nil, n.errorf("monitor: node is a container")
	}
	if !n.Running() {
		return nil, n.errorf("monitor: %w", ErrNotRunning)
	}
	m, err := machine.OpenMonitor(ctx, n.monitorFile())
	if err != nil {
		return nil, n.errorf("%w", err)
	}
	return m, nil
}

// Isolate has nothing that a machine sends go anywhere, and nothing come in, while it
// sees its cable in its place, as behind a switch that has failed. MendLink ends it.
func (n *Node) Isolate(ctx context.Context) error {
	if !n.Virtual() {
		return n.errorf("isolate: a container sees the other end of its cable")
	}
	if err := setPort(ctx, n.lab.name, n.name, "down"); err != nil {
		return n.errorf("isolate: %w", err)
	}
	return nil
}

// setCarrier has the machine see its cable pulled, or put back in.
func (n *Node) setCarrier(ctx context.Context, up bool) (err error) {
	m, err := n.Monitor(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return m.Do(ctx, "set_link", map[string]any{"name": "eth", "up": up})
}

// tellOff asks the node to shut down.
func (n *Node) tellOff(ctx context.Context, s nodeState) error {
	if !n.Virtual() || !s.Leader.alive() {
		return s.Leader.signal(sigPowerOff)
	}
	if _, err := n.Exec(ctx, "systemctl", "--no-block", "poweroff"); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return nil
}

// pushInside writes a file into a machine that runs, and to its disk: what the host
// changes in its root then, it may not see.
func (n *Node) pushInside(path string, data []byte, mode os.FileMode) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd, err := n.Command(ctx, "sh", "-euc", `mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"; sync "$1"`, "sh", path, fmt.Sprintf("%o", mode.Perm()))
	if err != nil {
		return err
	}
	cmd.Stdin = bytes.NewReader(data)
	r, err := result(ctx, cmd)
	_, err = output(r, err, "push", []string{path})
	if err != nil {
		return n.errorf("%w", err)
	}
	return nil
}

// Streams are the standard ones.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Enter runs a command in a machine, and returns its exit code. If a signal has ended
// it, this process ends by that signal. It is how [Node.Command] gets there.
func Enter(ctx context.Context, lab, node string, argv []string, io Streams) (int, error) {
	l, err := Open(lab)
	if err != nil {
		return 0, err
	}
	n := l.Node(node)
	if n == nil || !n.Virtual() {
		return 0, fmt.Errorf("lab %s has no machine %q", lab, node)
	}
	s, err := n.state()
	if err != nil {
		return 0, n.errorf("%w", err)
	}
	c, err := n.dial(ctx)
	if err != nil {
		return 0, n.errorf("%w", err)
	}
	defer c.Close()
	go func() { // its end sends nothing
		_ = s.Leader.wait(ctx)
		c.Close()
	}()
	e, err := machine.Enter(c, machine.Request{Argv: argv, Env: os.Environ()}, io.In, io.Out, io.Err)
	if err != nil {
		return 0, n.errorf("%w", err)
	}
	if e.Signal != 0 {
		return 0, endBy(syscall.Signal(e.Signal))
	}
	if e.Error != "" {
		fmt.Fprintln(io.Err, e.Error)
	}
	return e.Code, nil
}

// dial connects to the server of commands. One that is gone, by a reset, is noticed
// within seconds.
func (n *Node) dial(ctx context.Context) (c net.Conn, err error) {
	d := net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 5}}
	err = inNetns(lanNS(n.lab.name), func() error {
		c, err = d.DialContext(ctx, "tcp", machine.ControlAddr(n.number).String())
		return err
	})
	return c, err
}

// endBy ends this process as the command was ended.
func endBy(sig syscall.Signal) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	const moment = time.Second
	time.Sleep(moment) // it may arrive on another thread
	return fmt.Errorf("command ended by signal %v", sig)
}
