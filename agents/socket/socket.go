// SPDX-License-Identifier: Apache-2.0

// Package socket says which sockets processes have and what is at their other
// ends, as the kernel sees it.
//
// It must never touch a socket: it only looks.
package socket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
)

// Of lists the sockets of a process: its file descriptors by the inodes of the
// sockets, proc(5) fd. A process that is gone has none.
func Of(p process.Process) (map[uint32]int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.PID)
	entries, err := os.ReadDir(dir)
	// ESRCH: it ended while its directory was open.
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the sockets of %s: %w", p, err)
	}
	found := map[uint32]int{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		inode, ok := inodeOf(target)
		fd, err := strconv.Atoi(entry.Name())
		if ok && err == nil {
			found[inode] = fd
		}
	}
	return found, nil
}

// inodeOf reads what the link of a socket says: "socket:[4711]".
func inodeOf(target string) (uint32, bool) {
	text, ok := strings.CutPrefix(target, "socket:[")
	text, closed := strings.CutSuffix(text, "]")
	inode, err := strconv.ParseUint(text, 10, 32)
	return uint32(inode), ok && closed && err == nil
}
