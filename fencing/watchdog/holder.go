// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder is a process that has a device open.
type Holder struct {
	PID  int
	Name string // as in /proc/PID/comm
}

// Holders lists the processes that have the device open, under whichever of its names.
// It needs root to see those of others.
func Holders(device string) ([]Holder, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return nil, fmt.Errorf("watchdog: %s: %w", device, err)
	}
	numbers := []uint64{st.Rdev}
	// The first device has two numbers.
	var other unix.Stat_t
	switch first, misc := "/dev/watchdog0", "/dev/watchdog"; {
	case unix.Stat(first, &other) == nil && other.Rdev == st.Rdev && unix.Stat(misc, &other) == nil,
		unix.Stat(misc, &other) == nil && other.Rdev == st.Rdev && unix.Stat(first, &other) == nil:
		numbers = append(numbers, other.Rdev)
	}
	return holders("/proc", numbers), nil
}

func holders(proc string, numbers []uint64) []Holder {
	var found []Holder
	dirs, _ := filepath.Glob(proc + "/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fds, _ := filepath.Glob(dir + "/fd/*")
		if slices.ContainsFunc(fds, func(fd string) bool {
			var st unix.Stat_t
			return unix.Stat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && slices.Contains(numbers, st.Rdev)
		}) {
			name, _ := os.ReadFile(dir + "/comm") // it may be gone by now
			found = append(found, Holder{pid, strings.TrimSpace(string(name))})
		}
	}
	slices.SortFunc(found, func(a, b Holder) int { return a.PID - b.PID })
	return found
}

// conflict says in words who has the device, and how to have it given back.
func conflict(device string) string {
	found, err := Holders(device)
	if err != nil || len(found) == 0 {
		return "nobody who can be seen has it open; it may be in use in another container"
	}
	var words []string
	for _, h := range found {
		words = append(words, fmt.Sprintf("%s (process %d)%s", h.Name, h.PID, hint(h)))
	}
	return "it is held by " + strings.Join(words, " and ")
}

// hint is how the usual holders are told to leave it.
func hint(h Holder) string {
	switch {
	case h.PID == 1:
		said := ""
		if set := runtimeWatchdog(os.DirFS("/")); set != "" {
			said = ", which is " + set
		}
		return ": set RuntimeWatchdogSec=off in /etc/systemd/system.conf" + said + ", and run systemctl daemon-reexec"
	case h.Name == "sbd":
		return ": sbd belongs to Pacemaker; run one of the two"
	case h.Name == "corosync":
		return ": set watchdog_device: off in the resources section of corosync.conf"
	case h.Name == "wd_keepalive" || h.Name == "watchdog":
		return ": run systemctl disable --now watchdog wd_keepalive"
	}
	return ""
}

// runtimeWatchdog is systemd's setting, with its place, as systemd-system.conf(5) finds
// it; empty: there is none.
func runtimeWatchdog(root fs.FS) string {
	files := []string{"etc/systemd/system.conf"}
	drops := map[string]string{} // by name; the first directory wins
	for _, dir := range []string{"etc", "run", "usr/local/lib", "usr/lib"} {
		found, _ := fs.Glob(root, dir+"/systemd/system.conf.d/*.conf")
		for _, f := range found {
			if name := filepath.Base(f); drops[name] == "" {
				drops[name] = f
			}
		}
	}
	var names []string
	for name := range drops {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		files = append(files, drops[name])
	}
	set := ""
	for _, f := range files {
		file, err := root.Open(f)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			key, v, ok := strings.Cut(lines.Text(), "=")
			if ok && strings.TrimSpace(key) == "RuntimeWatchdogSec" {
				set = fmt.Sprintf("%q in /%s", strings.TrimSpace(v), f)
			}
		}
		file.Close()
	}
	return set
}
