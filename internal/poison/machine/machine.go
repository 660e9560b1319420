// SPDX-License-Identifier: Apache-2.0

// Package machine ends the machine that it runs on: it has everything stand still, and
// restarts or powers it off without asking anybody.
//
// It must never be called but by who has decided that this machine ends. In a container it
// ends the container alone, as the kernel has it (reboot(2)).
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/poison"
)

// Machine is this one. Make it by This.
type Machine struct {
	cgroups string // where the tree of control groups is
	proc    string
}

// This is the machine that the program runs on.
func This() Machine { return Machine{cgroups: "/sys/fs/cgroup", proc: "/proc"} }

var _ poison.End = Machine{}

// Still freezes all control groups but this program's own, and returns when the kernel
// says that all of their processes are frozen (Documentation/admin-guide/cgroup-v2.rst,
// "cgroup.freeze"). It returns an error if that does not come about within two seconds,
// such as for a process that waits for a disk that does not answer.
func (m Machine) Still(ctx context.Context) error {
	const most, each = 2 * time.Second, 5 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	own, err := m.own()
	if err != nil {
		return err
	}
	for {
		// Anew each time: until they all are frozen, somebody may make more.
		warm, err := m.freeze(own)
		if err == nil && warm != "" {
			err = fmt.Errorf("%s is not frozen in time", warm)
		}
		// What the kernel runs for itself, such as kmod(8), ends soon.
		if err = errors.Join(err, m.rootless()); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(each):
		}
	}
}

// own is this program's control group, as a path below the tree.
func (m Machine) own() (string, error) {
	data, err := os.ReadFile(filepath.Join(m.proc, "self/cgroup"))
	if err != nil {
		return "", fmt.Errorf("which control group this is: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok && own != "" && !strings.HasPrefix(own, "..") {
			return own, nil
		}
	}
	return "", errors.New("this program has no control group (version 2) of its own: run it as a unit of systemd's")
}

// rootless sees that no program runs in the root of the tree, which cannot be frozen. The
// kernel's own threads have no program.
func (m Machine) rootless() error {
	data, err := os.ReadFile(filepath.Join(m.cgroups, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("what runs in the root of the control groups: %w", err)
	}
	for pid := range strings.FieldsSeq(string(data)) {
		if program, err := os.Readlink(filepath.Join(m.proc, pid, "exe")); err == nil {
			return fmt.Errorf("process %s (%s) is in the root of the control groups, and cannot be frozen", pid, program)
		}
	}
	return nil
}

// freeze has everything beside the way to own be frozen. It returns a group that is not
// yet; empty: all are.
func (m Machine) freeze(own string) (warm string, err error) {
	at := ""
	for _, next := range strings.Split(own, "/") {
		entries, err := os.ReadDir(filepath.Join(m.cgroups, at))
		if err != nil {
			return at, fmt.Errorf("list control groups: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() || e.Name() == next {
				continue
			}
			group := path.Join(at, e.Name())
			frozen, err := m.frozen(group)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it is gone
			}
			if err != nil {
				return group, err
			}
			if !frozen {
				warm = group
			}
		}
		at = path.Join(at, next)
	}
	return warm, nil
}

// frozen has one group be frozen, with all below it, and says whether it is.
func (m Machine) frozen(group string) (bool, error) {
	dir := filepath.Join(m.cgroups, group)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("1"), 0); err != nil {
		return false, fmt.Errorf("freeze a control group: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return false, fmt.Errorf("look at a control group: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "frozen 1" || line == "populated 0" {
			return true, nil
		}
	}
	return false, nil
}

// Now ends the machine, without writing to its disks what is not there yet: somebody
// else may use them already.
func (Machine) Now(a poison.Action) error {
	command := unix.LINUX_REBOOT_CMD_RESTART
	if a == poison.PowerOff {
		command = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	if err := unix.Reboot(command); err != nil {
		return fmt.Errorf("end this machine: %w", err)
	}
	return nil
}
