// SPDX-License-Identifier: Apache-2.0

package socket

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
)

func self() process.Process { return process.Process{PID: os.Getpid()} }

func inode(t *testing.T, fd int) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func TestOf(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	own, err := Of(self())
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if got, ok := own[inode(t, fd)]; !ok || got != fd {
			t.Errorf("socket %d of descriptor %d is not in %v", inode(t, fd), fd, own)
		}
	}
	if got, err := Of(process.Process{PID: 1 << 30}); len(got) > 0 || err != nil {
		t.Errorf("sockets of nobody: %v, %v", got, err)
	}
}

func TestInodeOf(t *testing.T) {
	for target, want := range map[string]uint32{
		"socket:[4711]": 4711, "socket:[4294967295]": 1<<32 - 1,
		"socket:[4294967296]": 0, "socket:[]": 0, "socket:[1": 0, "pipe:[1]": 0, "/dev/null": 0, "": 0,
	} {
		if got, ok := inodeOf(target); ok != (want > 0) || ok && got != want {
			t.Errorf("%q: %d, %t", target, got, ok)
		}
	}
}

// The kernel's list goes on after sockets of other kinds, and knows who is
// connected to whom under which name.
func TestAllUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_STREAM} {
		for range 20 { // so that some come before the others
			fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			a, b := find(t, inode(t, fds[0])), find(t, inode(t, fds[1]))
			if a.Peer != b.Inode || b.Peer != a.Inode || a.Stream != (kind == unix.SOCK_STREAM) || a.Name != "" {
				t.Fatalf("a pair of kind %d: %+v, %+v", kind, a, b)
			}
		}
	}

	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	out := inodeOfConn(t, client)
	if got := find(t, out); got.Peer != 0 || got.Name != "" {
		t.Errorf("before it is accepted: %+v", got)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	in := inodeOfConn(t, server)
	if got := find(t, out); got.Peer != in {
		t.Errorf("client: %+v", got)
	}
	if got := find(t, in); got.Peer != out || got.Name != path || got.Unread {
		t.Errorf("server: %+v", got)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := find(t, in); !got.Unread {
		t.Errorf("server, with something to read: %+v", got)
	}
	server.Close()
	if got := find(t, out); got.Peer != 0 {
		t.Errorf("after the other end was closed: %+v", got)
	}
}

func find(t *testing.T, inode uint32) Unix {
	t.Helper()
	all, err := AllUnix(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(s Unix) bool { return s.Inode == inode })
	if i < 0 {
		t.Fatalf("socket %d is not among %d", inode, len(all))
	}
	return all[i]
}

func inodeOfConn(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ino uint32
	if err := raw.Control(func(fd uintptr) { ino = inode(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return ino
}

func TestAllTCP(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		all, err := AllTCP(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		port, ino := uint16(l.Addr().(*net.TCPAddr).Port), inodeOfConn(t, client)
		var listening, connected int
		for _, s := range all {
			if s.Local.Port() == port && s.Listening && s.Inode > 0 {
				listening++
			}
			if s.Inode == ino && !s.Listening && s.Remote.Port() == port && s.Local.String() == client.LocalAddr().String() {
				connected++
			}
		}
		if listening != 1 || connected != 1 {
			t.Errorf("%s: %d listening, %d connected, among %v", addr, listening, connected, all)
		}
	}
}

// The kernel is trusted to answer, not to answer whole.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, inetMsgLen))
	f.Add(append([]byte{1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8, 0, 2, 0, 1, 2, 3, 4, 3, 0, 0, 0))
	f.Fuzz(func(t *testing.T, m []byte) {
		if s, ok := parseUnix(m); ok && len(s.Name) > len(m) {
			t.Errorf("a name of %d bytes in %d", len(s.Name), len(m))
		}
		if s, ok := parseTCP(m); ok && !s.Local.Addr().IsValid() {
			t.Errorf("no address in %+v", s)
		}
	})
}
