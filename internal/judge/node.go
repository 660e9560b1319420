// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Node is one that is watched.
type Node struct {
	Name string
	// PID is that of its first process as the host sees it; an error: it is off.
	PID func() (int, error)
}

// nodeView is what a look at a node goes by; it holds for one boot.
type nodeView struct {
	pid     int
	devices map[string]string // major:minor to the name of the disk
	system  string            // directory of the control group of its services
}

// look notes what a node has: disks that are mounted to be written to, and units with
// processes. A node that goes off while it is looked at has nothing.
func (j *Judge) look(n Node, v *nodeView) {
	pid, err := n.PID()
	if err != nil {
		*v = nodeView{}
		return
	}
	if v.pid != pid || len(v.devices) < len(j.cfg.Disks) || v.system == "" {
		*v = view(pid, j.cfg.Disks)
	}
	began := time.Now()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return
	}
	seen := look{began, time.Now()}
	for _, device := range writable(data) {
		if disk, is := v.devices[device]; is {
			j.record.see(Thing{Mount, disk}, n.Name, seen)
		}
	}
	for _, u := range j.cfg.Units {
		began := time.Now()
		if alive(v.system, u) {
			j.record.see(Thing{Service, u}, n.Name, look{began, time.Now()})
		}
	}
}

// view finds a node's devices, each of which has another number in every node.
func view(pid int, disks []string) nodeView {
	v := nodeView{pid: pid, devices: map[string]string{}}
	for _, d := range disks {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/root%s", pid, d), &st) == nil {
			v.devices[fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))] = d
		}
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return v
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !strings.HasSuffix(fields[2], "/init.scope") {
			continue
		}
		path := strings.TrimSuffix(fields[2], "/init.scope")
		for _, root := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
			if dir := filepath.Join(root, path); exists(filepath.Join(dir, "init.scope")) {
				v.system = filepath.Join(dir, "system.slice")
				return v
			}
		}
	}
	return v
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writable lists the devices that a process has mounted to write to: proc(5),
// /proc/pid/mountinfo.
func writable(mountinfo []byte) []string {
	var found []string
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(super) < 3 {
			continue
		}
		if has(fields[5], "rw") && has(super[len(super)-1], "rw") {
			found = append(found, fields[2])
		}
	}
	return found
}

func has(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// alive says whether a unit has processes. An instance has a slice of its template.
func alive(system, unit string) bool {
	dir := filepath.Join(system, unit)
	if prefix, _, is := strings.Cut(unit, "@"); is {
		dir = filepath.Join(system, "system-"+strings.ReplaceAll(prefix, "-", `\x2d`)+".slice", unit)
	}
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	for f := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			return true
		}
	}
	return false
}

// hardware is the MAC of a node's eth0.
func hardware(pid int) (net.HardwareAddr, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/sys/class/net/eth0/address", pid))
	if err != nil {
		return nil, err
	}
	return net.ParseMAC(strings.TrimSpace(string(data)))
}
