// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
)

func TestMatch(t *testing.T) {
	const agent, other = 20, 30 // PIDs; their sockets have these and the next inodes
	managers, owners := map[uint32]bool{10: true, 11: true}, map[uint32]int{20: agent, 21: agent, 30: other}
	for _, tt := range []struct {
		name    string
		sockets []unixSocket
		want    map[int]talk
	}{
		{"nobody", nil, map[int]talk{}},
		{"both silent", []unixSocket{{10, 20, false}, {20, 10, false}}, map[int]talk{agent: {}}},
		{"a request to read", []unixSocket{{10, 20, false}, {20, 10, true}}, map[int]talk{agent: {asked: true}}},
		{"reported", []unixSocket{{20, 10, false}, {10, 20, true}}, map[int]talk{agent: {reported: true}}},
		{"two agents", []unixSocket{{10, 20, true}, {20, 10, false}, {11, 30, false}, {30, 11, true}}, map[int]talk{agent: {reported: true}, other: {asked: true}}},
		{"not with the manager", []unixSocket{{20, 30, true}, {30, 20, true}}, map[int]talk{}},
		{"with a stranger", []unixSocket{{10, 99, true}, {99, 10, true}}, map[int]talk{}},
		{"not taken up yet", []unixSocket{{10, 0, false}, {0, 10, true}}, map[int]talk{}},
		{"listening", []unixSocket{{10, 0, true}, {20, 0, true}}, map[int]talk{}},
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

func FuzzUnixSocket(f *testing.F) {
	f.Add([]byte("\x01\x01\x01\x00\x0a\x00\x00\x00cookie00\x08\x00\x02\x00\x14\x00\x00\x00\x0c\x00\x04\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x01\x01\x00\x0a\x00\x00\x00cookie00\x05\x00\x02\x00\x14\x00\x00\x00"))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseUnixSocket(data)
		if err != nil && s != (unixSocket{}) {
			t.Errorf("%+v in spite of %v", s, err)
		}
	})
}

// The kernel knows which end has something to read.
func TestUnixSockets(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var inodes [2]uint32
	for i, fd := range fds {
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		inodes[i] = uint32(st.Ino)
	}
	own := socketsOf(os.Getpid())
	if !slices.Contains(own, inodes[0]) || !slices.Contains(own, inodes[1]) {
		t.Errorf("own sockets %d lack %d", own, inodes)
	}
	look := func() talk {
		t.Helper()
		sockets, err := unixSockets()
		if err != nil {
			t.Fatal(err)
		}
		got, found := match(sockets, map[uint32]bool{inodes[0]: true}, map[uint32]int{inodes[1]: 1})[1]
		if !found {
			t.Fatal("the connection is not there")
		}
		return got
	}
	if got := look(); got != (talk{}) {
		t.Errorf("nothing was sent: %+v", got)
	}
	send := func(fd int) {
		t.Helper()
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	send(fds[0])
	if got := look(); got != (talk{asked: true}) {
		t.Errorf("asked: %+v", got)
	}
	if _, err := unix.Read(fds[1], make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	send(fds[1])
	if got := look(); got != (talk{reported: true}) {
		t.Errorf("reported: %+v", got)
	}
	if got := socketsOf(1 << 30); got != nil {
		t.Errorf("sockets of nobody: %d", got)
	}
}
