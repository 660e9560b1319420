// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab/disk"
)

func (n *Node) consoleFile() string { return filepath.Join(runDir(n.lab.name), n.name+".console") }

var errDied = errors.New("systemd-nspawn ended before the node had booted")

// boot plugs the disks in and starts the node.
func (n *Node) boot(ctx context.Context) error {
	var s nodeState
	for number := 1; number <= n.lab.state.Disks; number++ {
		loop, err := disk.Attach(n.lab.diskFile(number))
		if err != nil {
			return err
		}
		s.Drives = append(s.Drives, drive{Loop: loop})
	}
	if err := save(n.stateFile(), s); err != nil {
		return err
	}
	if err := n.execGroup().create(); err != nil {
		return err
	}
	if n.Virtual() {
		return n.bootMachine(ctx, s)
	}
	return n.bootContainer(ctx, s)
}

// bootContainer starts nspawn and follows its notifications (sd_notify(3)): first the
// PID of the node's own PID 1, then that it has finished booting.
func (n *Node) bootContainer(ctx context.Context, s nodeState) error {
	path := filepath.Join(runDir(n.lab.name), n.name+".notify")
	os.Remove(path)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()

	cmd, err := n.nspawn(path)
	if err != nil {
		return err
	}
	if s.Supervisor, err = findProcess(cmd.Process.Pid); err != nil {
		return err
	}
	if err := save(n.stateFile(), s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		cmd.Wait() // reaps it, whenever that is
		cancel(errDied)
	}()
	return n.follow(ctx, notify, s)
}

// nspawn starts the node inside the bridge's namespace, which systemd-nspawn
// then takes for the host's: the node's network namespace is its own and goes
// with it. A named one would live on after a kill and answer for the dead.
func (n *Node) nspawn(notify string) (*exec.Cmd, error) {
	argv := []string{
		"nsenter", "--net=" + filepath.Join(netnsDir, lanNS(n.lab.name)), "--",
		"systemd-nspawn", "--quiet", "--boot", "--settings=no",
		"--system-call-filter=pidfd_getfd pidfd_open", // as on a machine; nspawn's own list is older
		"--directory=" + n.root(), "--machine=" + n.name,
		"--register=no", "--keep-unit",
		"--private-network", "--network-bridge=" + bridge,
		"--bind=" + n.lab.ShareDir() + ":" + SharePath,
		"--bind-ro=" + n.lab.binary() + ":/usr/sbin/fence_lab",
		"--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--notify-ready=yes",
	}
	argv = n.cgroup().joining(argv...)
	console, err := os.OpenFile(n.consoleFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify, "SYSTEMD_NSPAWN_LOCK=0")
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

// follow reads notifications until the node has booted, and keeps the leader's
// PID as soon as it is known, so that a node that hangs while booting can be
// killed.
func (n *Node) follow(ctx context.Context, notify *net.UnixConn, s nodeState) error {
	stop := context.AfterFunc(ctx, func() { notify.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	for {
		size, err := notify.Read(buf)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(buf[:size])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "X_NSPAWN_LEADER_PID":
				pid, err := strconv.Atoi(value)
				if err != nil {
					return fmt.Errorf("leader PID: %w", err)
				}
				if s.Leader, err = findProcess(pid); err != nil {
					return err
				}
				if err := save(n.stateFile(), s); err != nil {
					return err
				}
			case key == "READY" && value == "1" && s.Leader.PID != 0:
				return s.plugDisks()
			}
		}
	}
}

// plugDisks makes the shared disks' device nodes. They are no bind mounts, because
// ocf:heartbeat:Filesystem unmounts everything that comes from the device, and
// would unmount the device node with it.
func (s nodeState) plugDisks() error {
	for i, d := range s.Drives {
		var st unix.Stat_t
		if err := unix.Stat(d.Loop, &st); err != nil {
			return fmt.Errorf("shared disk: stat %s: %w", d.Loop, err)
		}
		path := fmt.Sprintf("/proc/%d/root%s", s.Leader.PID, Disk(i+1))
		if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(st.Rdev)); err != nil {
			return fmt.Errorf("shared disk: mknod %s: %w", path, err)
		}
	}
	return nil
}

// prepare makes the node's root: what it writes goes to a layer of its own
// above the others, the base image at the bottom.
func (n *Node) prepare(layers []string) error {
	for _, d := range []string{"upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(n.dir(), d), 0o755); err != nil {
			return err
		}
	}
	lower := slices.Clone(layers)
	slices.Reverse(lower) // as mount(8) wants them
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s/work,index=off", strings.Join(lower, ":"), n.upper(), n.dir())
	if err := unix.Mount("mailha-lab", n.root(), "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay on %s: %w", n.root(), err)
	}
	for path, data := range n.files() {
		if err := n.Push(path, []byte(data), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files are those that tell one node from another.
func (n *Node) files() map[string]string {
	return map[string]string{
		"/etc/hostname":        n.name + "\n",
		"/etc/machine-id":      fmt.Sprintf("%032x\n", 0xa0+n.number), // same at every boot, so that journals go on
		"/etc/mailha-lab/addr": fmt.Sprintf("%s/%d %s/%d\n", n.Addr4(), Subnet4.Bits(), n.Addr6(), Subnet6.Bits()),
		"/etc/hosts":           n.lab.hosts(),
	}
}
