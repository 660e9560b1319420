// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mailha/mailha/agents/process"
)

// talk is how far a process is in its talk with a suspended queue manager.
type talk struct {
	asked    bool // it has been sent something that it has not read
	reported bool // it has sent something, which nobody will read any more
}

// talksOf lists, by PID, who of an instance's processes is connected to one of
// its queue managers, which are suspended. A delivery agent that holds a lock and has sent something has
// reported: its first word, that it is ready, was read before it was sent its
// request.
func talksOf(ps []process.Process) (map[int]talk, error) {
	sockets, err := unixSockets()
	if err != nil {
		return nil, err
	}
	managers, owners := map[uint32]bool{}, map[uint32]int{}
	for _, p := range ps {
		for _, inode := range socketsOf(p.PID) {
			if isQueueManager(p) {
				managers[inode] = true
			} else {
				owners[inode] = p.PID
			}
		}
	}
	return match(sockets, managers, owners), nil
}

// match finds the connections that have a queue manager at one end and another
// process of the instance at the other.
func match(sockets []unixSocket, managers map[uint32]bool, owners map[uint32]int) map[int]talk {
	unread := map[uint32]bool{}
	for _, s := range sockets {
		unread[s.inode] = s.unread
	}
	talks := map[int]talk{}
	for _, s := range sockets {
		pid, found := owners[s.peer]
		if !managers[s.inode] || !found {
			continue
		}
		t := talks[pid]
		t.reported = t.reported || s.unread
		t.asked = t.asked || unread[s.peer]
		talks[pid] = t
	}
	return talks
}

// socketsOf lists the inodes of a process's sockets: proc(5) fd. Those of a
// process that is gone are none.
func socketsOf(pid int) []uint32 {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []uint32
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue
		}
		text, ok := strings.CutPrefix(target, "socket:[")
		inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
		if ok && err == nil {
			found = append(found, uint32(inode))
		}
	}
	return found
}
