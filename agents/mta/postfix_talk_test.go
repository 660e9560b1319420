// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
)

func TestMatch(t *testing.T) {
	const agent, other = 20, 30 // PIDs; their sockets have these and the next inodes
	managers, owners := map[uint32]bool{10: true, 11: true}, map[uint32]int{20: agent, 21: agent, 30: other}
	for _, tt := range []struct {
		name    string
		sockets []socket.Unix
		want    map[int]talk
	}{
		{"nobody", nil, map[int]talk{}},
		{"both silent", []socket.Unix{{Inode: 10, Peer: 20, Unread: false}, {Inode: 20, Peer: 10, Unread: false}}, map[int]talk{agent: {}}},
		{"a request to read", []socket.Unix{{Inode: 10, Peer: 20, Unread: false}, {Inode: 20, Peer: 10, Unread: true}}, map[int]talk{agent: {asked: true}}},
		{"reported", []socket.Unix{{Inode: 20, Peer: 10, Unread: false}, {Inode: 10, Peer: 20, Unread: true}}, map[int]talk{agent: {reported: true}}},
		{"two agents", []socket.Unix{{Inode: 10, Peer: 20, Unread: true}, {Inode: 20, Peer: 10, Unread: false}, {Inode: 11, Peer: 30, Unread: false}, {Inode: 30, Peer: 11, Unread: true}}, map[int]talk{agent: {reported: true}, other: {asked: true}}},
		{"not with the manager", []socket.Unix{{Inode: 20, Peer: 30, Unread: true}, {Inode: 30, Peer: 20, Unread: true}}, map[int]talk{}},
		{"with a stranger", []socket.Unix{{Inode: 10, Peer: 99, Unread: true}, {Inode: 99, Peer: 10, Unread: true}}, map[int]talk{}},
		{"not taken up yet", []socket.Unix{{Inode: 10, Peer: 0, Unread: false}, {Inode: 0, Peer: 10, Unread: true}}, map[int]talk{}},
		{"listening", []socket.Unix{{Inode: 10, Peer: 0, Unread: true}, {Inode: 20, Peer: 0, Unread: true}}, map[int]talk{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, match(tt.sockets, managers, owners), cmp.AllowUnexported(talk{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A lock counts unless its holder has reported. Who may be about to take one
// counts without it.
func TestSortOut(t *testing.T) {
	for _, tt := range []struct {
		name    string
		p       process.Process
		talks   map[int]talk
		begin   int
		deliver bool
	}{
		{"asleep, no talk", process.Process{PID: 7, Name: "smtp", State: 'S'}, nil, 0, true},
		{"at work, no talk", process.Process{PID: 7, Name: "cleanup", State: 'R'}, nil, 0, true},
		{"waits for a server, or for a request", process.Process{PID: 7, Name: "smtp", State: 'S'}, map[int]talk{7: {}}, 0, true},
		{"reads its request", process.Process{PID: 7, Name: "smtp", State: 'R'}, map[int]talk{7: {}}, 1, false},
		{"opens the message on a slow disk", process.Process{PID: 7, Name: "local", State: 'D'}, map[int]talk{7: {}}, 1, false},
		{"has not read its request", process.Process{PID: 7, Name: "smtp", State: 'S'}, map[int]talk{7: {asked: true}}, 1, false},
		{"reported", process.Process{PID: 7, Name: "smtp", State: 'S'}, map[int]talk{7: {reported: true}}, 0, false},
		{"reported, and still at work", process.Process{PID: 7, Name: "smtp", State: 'R'}, map[int]talk{7: {reported: true}}, 0, false},
		{"queue manager", process.Process{PID: 7, Name: "qmgr", State: 'T'}, nil, 0, false},
		{"the other queue manager", process.Process{PID: 7, Name: "oqmgr", State: 'R'}, nil, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin, deliver := sortOut([]process.Process{tt.p}, tt.talks)
			if begin != tt.begin || deliver[7] != tt.deliver {
				t.Errorf("about to begin: %d, want %d; may deliver: %v, want %v", begin, tt.begin, deliver[7], tt.deliver)
			}
		})
	}
}
