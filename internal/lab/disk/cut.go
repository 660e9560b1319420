// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ext4IocShutdown is EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and noLogFlush
// its way to stop without writing out the journal (linux/fs/ext4/ext4.h).
const (
	ext4IocShutdown = 0x8004587d
	noLogFlush      = 2
)

// CutPower stops the file system on the loop device at once, wherever one of
// the processes has it mounted, and tells whether one had: what was not synced
// by then is lost, as it is when a machine loses power. Without it the kernel,
// which outlives the processes of a container, would write all of it to the
// disk.
func CutPower(dev string, pids []int) (mounted bool, err error) {
	var st unix.Stat_t
	if err := unix.Stat(dev, &st); err != nil {
		return false, fmt.Errorf("shared disk %s: %w", dev, err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	for _, pid := range pids {
		mountinfo, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		if err != nil {
			continue // gone, and its mounts with it
		}
		for _, point := range mountPoints(mountinfo, number) {
			err := shutdown(fmt.Sprintf("/proc/%d/root%s", pid, point))
			if err == nil {
				return true, nil // one file system, however often it is mounted
			}
			if !errors.Is(err, os.ErrNotExist) {
				return true, fmt.Errorf("shared disk %s, mounted on %s by process %d: %w", dev, point, pid, err)
			}
		}
	}
	return false, nil
}

func shutdown(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.IoctlSetPointerInt(int(f.Fd()), ext4IocShutdown, noLogFlush)
	if errors.Is(err, unix.EIO) {
		return nil // shut down already
	}
	return err
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountPoints returns where the device "major:minor" is mounted according to
// the lines of a proc_pid_mountinfo(5) file.
func mountPoints(mountinfo []byte, number string) []string {
	var points []string
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) > 4 && f[2] == number {
			points = append(points, unescape.Replace(f[4]))
		}
	}
	return points
}
