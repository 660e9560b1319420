// SPDX-License-Identifier: Apache-2.0

package farewell

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/vip"
)

// pair is a session over loopback, which this process serves itself.
type pair struct {
	t              *testing.T
	client, server *net.TCPConn
	fd             int // of server
	guest          Guest
}

func newPair(t *testing.T) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	p := &pair{t: t, client: client.(*net.TCPConn), server: server.(*net.TCPConn)}
	for _, c := range []net.Conn{client, server} { // nothing may hang
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := p.server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := raw.Control(func(fd uintptr) { p.fd, err = int(fd), unix.Fstat(int(fd), &st) }); err != nil {
		t.Fatal(err)
	}
	p.guest = Guest{vip.Session{Inode: uint32(st.Ino)}, processOf(t, os.Getpid()), p.fd}
	return p
}

// processOf reads the start time as proc(5) stat has it.
func processOf(t *testing.T, pid int) process.Process {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	start, err := strconv.ParseUint(fields[22-3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return process.Process{PID: pid, Start: start}
}

func (p *pair) open() *Line {
	p.t.Helper()
	l, err := p.guest.Open()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	return l
}

func (p *pair) write(c net.Conn, text string) {
	p.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) read(c net.Conn) string {
	p.t.Helper()
	text, err := io.ReadAll(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func TestSay(t *testing.T) {
	p := newPair(t)
	words := SMTP("mx.example.test")
	if err := p.open().Say(words); err != nil {
		t.Fatal(err)
	}
	if got := p.read(p.client); got != string(words) {
		t.Errorf("the client was told %q", got)
	}
	if got := p.read(p.server); got != "" {
		t.Errorf("the server was told %q", got)
	}
}

// The server says the last words itself, and the client sees the end as soon as
// nobody has the socket any more.
func TestHangUp(t *testing.T) {
	p := newPair(t)
	l := p.open()
	if err := l.HangUp(); err != nil {
		t.Fatal(err)
	}
	if got := p.read(p.server); got != "" {
		t.Errorf("the server was told %q", got)
	}
	p.write(p.server, "bye")
	p.server.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := p.read(p.client); got != "bye" {
		t.Errorf("the client was told %q", got)
	}
}

// Nothing is said to a client that has the word, or that the server talks to.
func TestBusy(t *testing.T) {
	for name, disturb := range map[string]func(*pair){
		"something to read": func(p *pair) { p.write(p.client, "MAIL"); p.arrived() },
		"something on its way out": func(p *pair) {
			// More than the client's buffer takes while it does not read.
			for err := error(nil); err == nil; {
				if err := p.server.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					p.t.Fatal(err)
				}
				_, err = p.server.Write(make([]byte, 1<<16))
			}
		},
		"something came since it was listed":      func(p *pair) { p.guest.SinceReceived = time.Minute },
		"something was said since it was listed":  func(p *pair) { p.guest.SinceSent = time.Minute },
		"the client has hung up":                  func(p *pair) { p.client.Close(); p.hungUp() },
		"the descriptor is another socket's":      func(p *pair) { p.guest.fd = newPair(p.t).fd },
		"the descriptor is no socket":             func(p *pair) { p.guest.fd = 0 },
		"the descriptor is closed":                func(p *pair) { p.guest.fd = 1 << 20 },
		"the process is gone":                     func(p *pair) { p.guest.Host.PID = 1 << 30 },
		"the process is another of the same PID":  func(p *pair) { p.guest.Host.Start++ },
		"the session has ended, from both sides":  func(p *pair) { p.client.Close(); p.server.Close() },
		"the server has closed its side for good": func(p *pair) { p.server.CloseWrite() },
		"it was hung up, which the server has not seen yet": func(p *pair) {
			if err := p.open().HangUp(); err != nil {
				p.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, end := range map[string]func(*Line) error{
				"say":     func(l *Line) error { return l.Say([]byte("x\r\n")) },
				"hang up": (*Line).HangUp,
			} {
				p := newPair(t)
				disturb(p)
				l, err := p.guest.Open()
				if err == nil {
					defer l.Close()
					err = end(l)
				}
				if !errors.Is(err, ErrBusy) {
					t.Errorf("%s: %v", how, err)
				}
			}
		})
	}
}

// arrived waits until the server has something to read.
func (p *pair) arrived() {
	p.t.Helper()
	p.poll(unix.POLLIN)
}

func (p *pair) hungUp() {
	p.t.Helper()
	p.poll(unix.POLLRDHUP)
}

func (p *pair) poll(event int16) {
	p.t.Helper()
	const patience = 5000 // milliseconds
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: event}}, patience); n != 1 || err != nil {
		p.t.Fatalf("poll: %d, %v", n, err)
	}
}

func TestNonBlocking(t *testing.T) {
	for _, want := range []bool{false, true} {
		p := newPair(t)
		l := p.open()
		if err := unix.SetNonblock(p.fd, want); err != nil {
			t.Fatal(err)
		}
		for _, do := range []func() error{func() error { return nil }, l.HangUp} { // which must not change it
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if got, err := l.NonBlocking(); got != want || err != nil {
				t.Errorf("want %t: %t, %v", want, got, err)
			}
		}
	}
}

// Find leaves out what nobody serves, and what two do.
func TestFind(t *testing.T) {
	one, two, none := newPair(t), newPair(t), vip.Session{Inode: 1}
	file, err := two.server.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other := exec.Command("sleep", "60")
	other.ExtraFiles = []*os.File{file}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
	}()
	sleeper := processOf(t, other.Process.Pid)
	got, err := Find([]process.Process{one.guest.Host, sleeper}, []vip.Session{none, two.guest.Session, one.guest.Session})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != one.guest {
		t.Errorf("want %+v, got %+v", one.guest, got)
	}
}

// Who may not reach the socket is told so, and that it is the same for all.
func TestRefused(t *testing.T) {
	if coordinates := os.Getenv("FAREWELL_REFUSED"); coordinates != "" {
		var g Guest
		if _, err := fmt.Sscan(coordinates, &g.Host.PID, &g.Host.Start, &g.fd, &g.Inode); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Open(); !errors.Is(err, ErrRefused) {
			t.Fatalf("want ErrRefused, got %v", err)
		}
		return
	}
	g := newPair(t).guest
	const nobody = 65534
	program, err := os.ReadFile("/proc/self/exe") // the file itself may be where nobody can go
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "farewell-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(copied, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "-test.run=^TestRefused$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("FAREWELL_REFUSED=%d %d %d %d", g.Host.PID, g.Host.Start, g.fd, g.Inode))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestSMTP(t *testing.T) {
	if got, want := string(SMTP("mx.example.org")), "421 4.3.2 mx.example.org Service closing, try again\r\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestLDAP(t *testing.T) {
	// RFC 4511 section 4.4.1, encoded by hand.
	want := "3027" + // LDAPMessage
		"020100" + // messageID 0
		"7822" + // extendedResp
		"0a0134" + // unavailable
		"0400" + // matchedDN
		"0403" + "627965" + // "bye"
		"8a16" + hex.EncodeToString([]byte("1.3.6.1.4.1.1466.20036"))
	if got := hex.EncodeToString(LDAP("bye")); got != want {
		t.Errorf("\nwant %s\ngot  %s", want, got)
	}
	for _, text := range []string{"", "service closing", strings.Repeat("x", 60), strings.Repeat("x", 61), strings.Repeat("ä", 200), "x" + strings.Repeat("ä", 200), "\xff\xff"} {
		var m struct {
			ID       int
			Response struct {
				Code      asn1.Enumerated
				MatchedDN []byte
				Text      []byte
				Name      []byte `asn1:"tag:10"`
			} `asn1:"application,tag:24"`
		}
		b := LDAP(text)
		rest, err := asn1.Unmarshal(b, &m)
		if err != nil || len(rest) > 0 || len(b) > 127 {
			t.Fatalf("%q: %v, %d bytes left: %x", text, err, len(rest), b)
		}
		if r := m.Response; m.ID != 0 || r.Code != 52 || len(r.MatchedDN) > 0 || string(r.Name) != "1.3.6.1.4.1.1466.20036" ||
			!strings.HasPrefix(text, string(r.Text)) || !bytes.Equal(r.Text, bytes.ToValidUTF8(r.Text, nil)) {
			t.Errorf("%q: %+v", text, m)
		}
	}
}
