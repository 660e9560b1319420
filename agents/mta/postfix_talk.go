// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
)

// talk is how far a process is in its talk with a suspended queue manager.
type talk struct {
	asked    bool // it has been sent something that it has not read
	reported bool // it has sent something, which nobody will read any more
}

// talksOf lists, by PID, who of an instance's processes is connected to one of
// its queue managers, which are suspended. A delivery agent that holds a lock and
// has sent something has reported: its first word, that it is ready, was read
// before it was sent its request.
func talksOf(ctx context.Context, ps []process.Process) (map[int]talk, error) {
	sockets, err := socket.AllUnix(ctx)
	if err != nil {
		return nil, err
	}
	managers, owners := map[uint32]bool{}, map[uint32]int{}
	for _, p := range ps {
		own, err := socket.Of(p)
		if err != nil {
			return nil, err
		}
		for inode := range own {
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
func match(sockets []socket.Unix, managers map[uint32]bool, owners map[uint32]int) map[int]talk {
	unread := map[uint32]bool{}
	for _, s := range sockets {
		unread[s.Inode] = s.Unread
	}
	talks := map[int]talk{}
	for _, s := range sockets {
		pid, found := owners[s.Peer]
		if !managers[s.Inode] || !found {
			continue
		}
		t := talks[pid]
		t.reported = t.reported || s.Unread
		t.asked = t.asked || unread[s.Peer]
		talks[pid] = t
	}
	return talks
}
