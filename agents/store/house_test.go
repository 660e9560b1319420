// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

func proc(pid int, name string) process.Process { return process.Process{PID: pid, Name: name} }

func client(inode uint32, port uint16, from string) socket.TCP {
	return socket.TCP{Inode: inode, Local: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.52"), port), Remote: netip.MustParseAddrPort(from)}
}

// crowded is a house with somebody of every kind. Sockets of clients have numbers below
// 100, unix sockets others; 900 is one that all processes share.
func crowded() *house {
	ps := []process.Process{
		proc(1, "imap"),       // in the clear
		proc(2, "imap-login"), // with TLS, for
		proc(3, "imap"),
		proc(4, "imap-login"), // before the login
		proc(5, "pop3-login"), // passes on to another server
		proc(6, "imap-login"), // a crowd, of which
		proc(7, "imap"),
		proc(8, "imap"),
		proc(9, "imap-login"), // inherited, not served
		proc(10, "auth"),
	}
	fds := map[int]map[uint32]int{
		1: {10: 7, 900: 1}, 2: {20: 7, 200: 8, 900: 1}, 3: {201: 7, 900: 1}, 4: {40: 7, 400: 8, 900: 1},
		5: {50: 7, 51: 8}, 6: {60: 7, 61: 8, 62: 9, 600: 10, 602: 11}, 7: {601: 7}, 8: {603: 7}, 9: {10: 3, 91: 4}, 10: {401: 3},
	}
	tcp := []socket.TCP{
		client(10, 143, "198.51.100.1:1"), client(20, 993, "198.51.100.1:2"), client(40, 143, "198.51.100.2:1"),
		client(50, 110, "198.51.100.3:1"), client(51, 40000, "192.0.2.9:110"),
		client(60, 993, "198.51.100.4:1"), client(61, 993, "198.51.100.4:2"), client(62, 993, "198.51.100.5:1"),
		{Inode: 91, Local: netip.MustParseAddrPort("0.0.0.0:143"), Listening: true},
	}
	unix := []socket.Unix{
		{Inode: 200, Peer: 201}, {Inode: 201, Peer: 200}, {Inode: 400, Peer: 401}, {Inode: 401, Peer: 400},
		{Inode: 600, Peer: 601}, {Inode: 601, Peer: 600}, {Inode: 602, Peer: 603}, {Inode: 603, Peer: 602}, {Inode: 900, Peer: 901},
	}
	return furnish([]uint16{143, 993, 110}, ps, fds, tcp, unix)
}

func TestHost(t *testing.T) {
	h := crowded()
	for _, tt := range []struct {
		name  string
		inode uint32
		want  int // 0: nobody
	}{
		{"held by two", 10, 0},
		{"with TLS", 20, 3},
		{"not logged in", 40, 4},
		{"passed on to another server", 50, 0},
		{"in a crowd", 60, 0},
		{"nobody's", 99, 0},
	} {
		p, ok := h.host(vip.Session{Inode: tt.inode})
		if ok != (tt.want != 0) || ok && p.PID != tt.want {
			t.Errorf("%s: %v, %v", tt.name, p, ok)
		}
	}
	// Without the one that has inherited it.
	h.hosts[10] = h.hosts[10][:1]
	if p, ok := h.host(vip.Session{Inode: 10}); !ok || p.PID != 1 {
		t.Errorf("in the clear: %v, %v", p, ok)
	}
}

func TestAnyOf(t *testing.T) {
	h := crowded()
	addr := netip.MustParseAddr
	a, b := addr("198.51.100.4"), addr("198.51.100.5")
	idle := map[uint32]bool{60: true, 61: true, 62: true}
	for _, tt := range []struct {
		name  string
		from  map[int]netip.Addr
		waits map[uint32]bool
		at    netip.Addr
		want  []int
	}{
		{"all idle", map[int]netip.Addr{7: a, 8: a}, idle, a, []int{7, 8}},
		{"one is busy", map[int]netip.Addr{7: a, 8: a}, map[uint32]bool{60: true}, a, nil},
		{"one has not logged in", map[int]netip.Addr{7: a, 8: b}, idle, a, nil},
		{"beside it", map[int]netip.Addr{7: a, 8: b}, idle, b, []int{8}},
		{"nothing is known", nil, idle, a, nil},
	} {
		if got := h.anyOf(place{6, tt.at}, tt.from, tt.waits); !slices.Equal(pidsOf(got), tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func pidsOf(ps []process.Process) []int {
	var pids []int
	for _, p := range ps {
		pids = append(pids, p.PID)
	}
	slices.Sort(pids)
	return pids
}

func TestIsWritten(t *testing.T) {
	const read, write, both = "pos:\t0\nflags:\t0100000\n", "pos:\t0\nflags:\t0100001\n", "pos:\t9\nflags:\t0102002\nmnt_id:\t1\n"
	const lock = "lock:\t1: FLOCK  ADVISORY  WRITE 4773 07:03:32773 0 EOF\n"
	for _, tt := range []struct {
		path, info string
		want       bool
	}{
		{"/srv/u/.temp.1795306542.P361Q0M952450.node1", both, true},
		{"/srv/u/tmp/1795310312.M307290P4612.node1", write, true},
		{"/srv/u/u.17", read, false},
		{"/srv/u/u.17", read + lock, false},
		{"/srv/u/storage/m.1", both, false},
		{"/srv/u/storage/m.1", both + lock, true},
		{"/srv/u/storage/m.x", both, true},
		{"/srv/u/dovecot.index.log", both + lock, false},
		{"/srv/u/dovecot-uidlist", both, false},
		{"/dev/null", write, false},
		{"socket:[123]", both, false},
		{"pipe:[123]", write, false},
		{"/srv/u/x", "nonsense", false},
	} {
		if got := mayBeMessage(tt.path) && isWritten(tt.info, filepath.Base(tt.path)); got != tt.want {
			t.Errorf("%s, %q: %t", tt.path, tt.info, got)
		}
	}
}

// A process that writes is busy, and one that is gone is not.
func TestWrites(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), ".temp.x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for busy, files := range map[bool][]*os.File{false: nil, true: {f}} {
		cmd := exec.Command("sleep", "60")
		cmd.ExtraFiles = files
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := writes(proc(cmd.Process.Pid, "imap"))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if got != busy || err != nil {
			t.Errorf("busy %t, want %t, %v", got, busy, err)
		}
	}
	if busy, err := writes(proc(1<<30, "imap")); busy || err != nil {
		t.Errorf("gone: %t, %v", busy, err)
	}
}

func TestConnected(t *testing.T) {
	doors := []agents.Door{{Protocol: lmtp, Port: 24}, {Protocol: lmtp, Path: "/run/lmtp"}}
	got := connected(doors, []socket.TCP{
		client(1, 24, "192.0.2.1:999"), client(2, 143, "192.0.2.1:24"),
		{Inode: 3, Local: netip.MustParseAddrPort("0.0.0.0:24"), Listening: true},
	}, []socket.Unix{
		{Inode: 4, Peer: 44, Name: "/run/lmtp", Stream: true}, {Inode: 5, Name: "/run/lmtp", Stream: true},
		{Inode: 6, Peer: 66, Stream: true}, {Inode: 7, Peer: 77, Name: "/run/other", Stream: true},
	})
	if len(got) != 2 || !got[1] || !got[4] {
		t.Errorf("got %v", got)
	}
}

// server answers one request on a unix socket.
func server(t *testing.T, path, answer string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		if _, err := in.ReadString('\n'); err == nil {
			_, _ = in.ReadString('\n')
		}
		_, _ = conn.Write([]byte(answer))
	}()
}

func TestStopService(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{"VERSION\tmaster-server\t1\t0\n+\n", ""},
		{"VERSION\tmaster-server\t1\t0\n-unknown service\n", "unknown service"},
		{"VERSION\tmaster-server\t1\t0\n", "early"},
	} {
		dir := t.TempDir()
		server(t, dir+"/master", tt.answer)
		err := stopService(t.Context(), agents.Facts{RunDir: dir}, lmtp)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.answer, err)
		}
	}
	if err := stopService(t.Context(), agents.Facts{RunDir: t.TempDir()}, lmtp); err != nil {
		t.Errorf("without a master: %v", err)
	}
}

func TestWhereFrom(t *testing.T) {
	dir := t.TempDir()
	server(t, dir+"/anvil", "imap/192.0.2.7/u1\t4711\t1\nimap/2001:db8::1/a/b\t12\t1\nnonsense\npop3//x\t13\t1\n\n")
	from, err := whereFrom(t.Context(), agents.Facts{RunDir: dir})
	if err != nil || len(from) != 2 || from[4711] != netip.MustParseAddr("192.0.2.7") || from[12] != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("%v, %v", from, err)
	}
}

func FuzzParseWho(f *testing.F) {
	f.Add("imap/192.0.2.7/user\t4711\t1")
	f.Fuzz(func(t *testing.T, line string) {
		if pid, addr, ok := parseWho(line); ok && (pid <= 0 || !addr.IsValid()) {
			t.Errorf("%q: %d, %s", line, pid, addr)
		}
	})
}

// Who takes his time to end is sent away once.
func TestPartOnce(t *testing.T) {
	const words = "TestPartOnce"
	cmd := exec.Command("sh", "-c", `trap "" TERM; echo ready; read x`, words)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ps, err := process.Find(process.Match{Programs: []string{resolved(cmd.Path)}, Argument: words})
	if err != nil || len(ps) != 1 {
		t.Fatalf("found %v, %v", ps, err)
	}
	d := NewDovecot()
	for _, want := range []bool{true, false} {
		if got, err := d.part(ps[0]); got != want || err != nil {
			t.Errorf("sent away: %t, %v; want %t", got, err, want)
		}
		ps[0].State = 'R' // it does something meanwhile
	}
}

func TestPassesOn(t *testing.T) {
	h := crowded()
	for inode, want := range map[uint32]bool{10: false, 20: true, 40: false, 50: false, 60: true, 99: false} {
		if got := h.passesOn(socket.TCP{Inode: inode}); got != want {
			t.Errorf("%d: %t, want %t", inode, got, want)
		}
	}
}
