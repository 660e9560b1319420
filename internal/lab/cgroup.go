// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupTop  = "mailha-lab"
)

// cgroup is one control group, known by the same path in every hierarchy that
// matters: it holds what belongs to a lab, a node or a host, and so tells own
// processes from others. Of the layouts of cgroups(7), version 1, where each
// controller has a hierarchy, is tested; version 2, where there is one for all,
// is written for but has not been seen at work.
type cgroup struct {
	dirs []string
}

func labCgroup(elem ...string) cgroup {
	var g cgroup
	for _, h := range hierarchies() {
		g.dirs = append(g.dirs, filepath.Join(append([]string{h, cgroupTop}, elem...)...))
	}
	return g
}

// hierarchies lists where groups are made. In version 1, nspawn makes groups
// called payload and supervisor below its own in name=systemd, or in the unified
// hierarchy where that is mounted beside (hybrid). Without groups of their own
// in both, all nodes would share those two and remove each other's services.
func hierarchies() []string {
	if _, err := os.Stat(cgroupRoot + "/cgroup.procs"); err == nil {
		return []string{cgroupRoot}
	}
	var found []string
	for _, c := range []string{"systemd", "unified", "memory", "freezer", "cpuacct", "pids"} {
		dir := filepath.Join(cgroupRoot, c)
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			found = append(found, dir)
		}
	}
	return found
}

func (g cgroup) create() error {
	for _, d := range g.dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

// joining returns the command that enters the group and then becomes argv.
// A shell does it because a process of version 1 can't be born into a group.
func (g cgroup) joining(argv ...string) []string {
	const script = `for d in $1; do echo $$ >"$d/cgroup.procs" || exit 125; done; shift; exec "$@"`
	return append([]string{"sh", "-c", script, "sh", strings.Join(g.dirs, " ")}, argv...)
}

// pids lists all processes in the group and below it, in any hierarchy.
func (g cgroup) pids() []int {
	var pids []int
	for _, d := range g.dirs {
		filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return nil // a group that vanishes meanwhile holds nobody
			}
			data, _ := os.ReadFile(path)
			for f := range strings.FieldsSeq(string(data)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// freezer returns the file that freezes the group, with what to write and what
// the state file says when that is done.
func (g cgroup) freezer(on bool) (file, value, stateFile, state string) {
	if len(g.dirs) == 1 { // version 2
		v := strconv.Itoa(map[bool]int{true: 1}[on])
		return g.dirs[0] + "/cgroup.freeze", v, g.dirs[0] + "/cgroup.events", "frozen " + v
	}
	for _, d := range g.dirs {
		if strings.HasPrefix(d, cgroupRoot+"/freezer/") {
			file = d + "/freezer.state"
		}
	}
	state = "THAWED"
	if on {
		state = "FROZEN"
	}
	return file, state, file, state
}

func (g cgroup) freeze(ctx context.Context, on bool) error {
	file, value, stateFile, state := g.freezer(on)
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		return fmt.Errorf("freezer: %w", err)
	}
	return poll(ctx, "freezer state "+state, 2*time.Millisecond, func() (bool, error) {
		b, err := os.ReadFile(stateFile)
		return strings.Contains(string(b), state), err
	})
}

// clear kills all that is in the group, awaits its end and removes the group.
func (g cgroup) clear(ctx context.Context) error {
	return poll(ctx, "end of all processes in "+strings.Join(g.dirs[:1], ""), 5*time.Millisecond, func() (bool, error) {
		for _, pid := range g.pids() {
			if err := g.kill(pid); err != nil {
				return false, err
			}
		}
		g.thaw()
		return g.remove() == nil, nil
	})
}

// thaw thaws the group and all below it, without waiting: of version 1, a
// frozen process dies only then.
func (g cgroup) thaw() {
	for _, d := range g.dirs {
		filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
			case e.Name() == "freezer.state":
				os.WriteFile(path, []byte("THAWED"), 0)
			case e.Name() == "cgroup.freeze":
				os.WriteFile(path, []byte("0"), 0)
			}
			return nil
		})
	}
}

// kill sends SIGKILL to a process after making sure, with the pidfd held, that
// it is a member.
func (g cgroup) kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	if !slices.Contains(g.pids(), pid) {
		return nil
	}
	err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}

// remove removes the group with all below it; it fails while anybody is in it.
func (g cgroup) remove() error {
	var errs []error
	for _, d := range g.dirs {
		var dirs []string
		filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, path := range slices.Backward(dirs) { // children before parents
			if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("control group %s: %w", path, err))
			}
		}
	}
	return errors.Join(errs...)
}

// poll asks ok again and again until it says yes, fails, or ctx ends. It is for
// kernel state that offers no event.
func poll(ctx context.Context, what string, every time.Duration, ok func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
