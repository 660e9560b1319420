// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	netnsDir = "/run/netns"
	bridge   = "br0"
)

// netnsName names the namespaces of a lab. Lab names hold no hyphen, so that
// those of one lab can't be taken for those of another.
func netnsName(lab, what string) string { return "mailha-" + lab + "-" + what }

// lanNS is the namespace that holds the bridge and nothing else.
func lanNS(lab string) string { return netnsName(lab, "lan") }

// port is the bridge's end of a node's or host's wire; nspawn calls it so.
func port(name string) string { return "vb-" + name }

// makeLAN makes the namespace with the bridge. The bridge itself stays mute,
// else its own IPv6 traffic would turn up in captures.
func makeLAN(ctx context.Context, lab string) error {
	ns := lanNS(lab)
	if err := tool(ctx, "", "ip", "netns", "add", ns); err != nil {
		return err
	}
	err := inNetns(ns, func() error {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if os.IsNotExist(err) {
			return nil // no IPv6 in this kernel
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", ns, err)
	}
	return tool(ctx, "link add "+bridge+" type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set "+bridge+" up\n",
		"ip", "-n", ns, "-batch", "-")
}

// errNoPort means that a wire is not there: its other end is gone.
var errNoPort = errors.New("no wire")

// setPort sets the bridge's end of a wire up or down, or returns errNoPort.
func setPort(ctx context.Context, lab, name, state string) error {
	return changePort(ctx, lab, "set", port(name), state)
}

// removePort removes a wire of a node whose end has not gone with its
// namespace yet, or returns errNoPort.
func removePort(ctx context.Context, lab, port string) error {
	return changePort(ctx, lab, "del", port)
}

func changePort(ctx context.Context, lab string, args ...string) error {
	err := tool(ctx, "", append([]string{"ip", "-n", lanNS(lab), "link"}, args...)...)
	if err != nil && strings.Contains(err.Error(), "Cannot find device") {
		return fmt.Errorf("%w: %w", errNoPort, err)
	}
	return err
}

// labNetns lists the namespaces of a lab by name.
func labNetns(lab string) []string {
	paths, _ := filepath.Glob(filepath.Join(netnsDir, netnsName(lab, "*")))
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

// inNetns runs f on a thread that is in the namespace. The thread is not used
// for anything else afterwards, so nothing can leak out of it.
func inNetns(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- func() error {
			fd, err := unix.Open(filepath.Join(netnsDir, ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("network namespace %s: %w", ns, err)
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("network namespace %s: enter: %w", ns, err)
			}
			return f()
		}()
	}()
	return <-done
}

// tool runs a program of the host and puts what it says into the error.
func tool(ctx context.Context, stdin string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
