// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
)

// user is a process that keeps the device busy.
type user struct {
	process.Process
	how string // such as "open file /srv/mail/a"
}

func (u user) String() string { return u.Process.String() + " (" + u.how + ")" }

// users finds the processes that keep the device busy, whatever mount namespace they
// are in, and after a lazy unmount as well: by the device number of what they use, not
// by its path. Processes of containers count, because they hold the device too.
func (t target) users(ctx context.Context, in marks) ([]user, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find who uses the file system: %w", err)
	}
	var found []user
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process's other files may be on a file system that hangs.
		const patience = 500 * time.Millisecond
		brief, cancel := context.WithTimeout(ctx, patience)
		how := make(chan string, 1)
		go func() { how <- in.use(filepath.Join("/proc", entry.Name())) }()
		select {
		case h := <-how:
			if h == "" {
				break
			}
			if p, err := process.Of(pid); err == nil {
				found = append(found, user{p, h})
			}
		case <-brief.Done():
		}
		cancel()
		if ctx.Err() != nil {
			break
		}
	}
	return found, nil
}

// marks are what files of the device are known by.
type marks struct {
	devices []uint64     // st_dev
	mounts  map[int]bool // of this mount namespace, by their IDs
}

// marks takes the mounts of the device, and those in them. What is mounted inside is
// known by the mount alone: it may be a second mount of the node's own root.
func (t target) marks(s sight) marks {
	m := marks{devices: slices.Clone(t.numbers), mounts: map[int]bool{}}
	for _, o := range withNested(s.all, s.owned) {
		m.mounts[o.id] = true
		if t.owns(o, "") && !slices.Contains(m.devices, o.number) {
			m.devices = append(m.devices, o.number) // with btrfs not the device's own
		}
	}
	// The number of a file system that is gone may be another's now.
	another := func(o mount) bool { return o.number == t.files && !t.owns(o, "") }
	if t.files != 0 && !slices.ContainsFunc(s.all, another) {
		m.devices = append(m.devices, t.files)
	}
	return m
}

// use says how a process uses the device; empty: it does not.
func (in marks) use(proc string) string {
	tasks, err := filepath.Glob(proc + "/task/*") // threads may have directories and files of their own
	if err != nil || len(tasks) == 0 {
		return ""
	}
	main := filepath.Base(proc)
	for _, task := range tasks {
		for name, how := range map[string]string{"cwd": "working directory", "root": "root directory", "exe": "program"} {
			if in.on(task + "/" + name) {
				return how + " " + link(task+"/"+name)
			}
		}
	}
	fds, err := os.ReadDir(proc + "/fd")
	if len(tasks) > 1 && err != nil {
		// The main thread has ended; the others live on.
		for _, task := range tasks {
			if filepath.Base(task) != main {
				fds, err = os.ReadDir(task + "/fd")
				proc = task
				break
			}
		}
	}
	if err == nil {
		for _, fd := range fds {
			if path := proc + "/fd/" + fd.Name(); in.on(path) {
				return "open file " + link(path)
			}
		}
	}
	return in.mapped(proc + "/maps")
}

// on says whether what a link below /proc leads to is on the device.
func (in marks) on(path string) bool {
	var st unix.Statx_t
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	if unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_MNT_ID, &st) != nil {
		return false
	}
	if slices.Contains(in.devices, unix.Mkdev(st.Dev_major, st.Dev_minor)) {
		return true
	}
	return st.Mask&unix.STATX_MNT_ID != 0 && in.mounts[int(st.Mnt_id)]
}

// mapped finds files that are mapped, but not open: proc(5) maps.
func (in marks) mapped(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		major, minor, _ := strings.Cut(f[3], ":")
		hi, err1 := strconv.ParseUint(major, 16, 32)
		lo, err2 := strconv.ParseUint(minor, 16, 32)
		if err1 == nil && err2 == nil && slices.Contains(in.devices, unix.Mkdev(uint32(hi), uint32(lo))) {
			return "mapped file " + strings.Join(f[5:], " ")
		}
	}
	return ""
}

func link(path string) string {
	target, err := os.Readlink(path)
	if err != nil {
		return "?"
	}
	return target
}

// names is a short list for a person.
func names(users []user) string {
	const most = 4
	var texts []string
	for i, u := range users {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(users)-most))
			break
		}
		texts = append(texts, u.String())
	}
	return strings.Join(texts, ", ")
}

// spared are processes that are not ended: init, and whoever called us, who could not
// wait for our answer any more.
func spared(pid int) bool {
	if pid == 1 {
		return true
	}
	for p := os.Getppid(); p > 1; p = parent(p) {
		if p == pid {
			return true
		}
	}
	return false
}

// parent is 0 for a process that is gone.
func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.Atoi(f[1]) // proc(5) stat field 4
	if err != nil {
		return 0
	}
	return n
}
