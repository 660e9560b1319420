// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"encoding/binary"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab"
)

// ear hears what comes in on a host's eth0.
type ear struct{ fd int }

func listen(t *testing.T, h *lab.Host) *ear {
	t.Helper()
	e := &ear{}
	err := h.Do(func() (err error) {
		everything := int(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL)))
		e.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, everything)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(e.fd) })
	return e
}

// announced lists for which addresses a gratuitous ARP or an unsolicited
// neighbour advertisement came in, and with which MAC address, within a time.
func (e *ear) announced(t *testing.T, within time.Duration) map[netip.Addr]string {
	t.Helper()
	heard := map[netip.Addr]string{}
	for frame := range e.frames(t, within) {
		if addr, mac, ok := announcement(frame); ok {
			heard[addr] = mac
		}
	}
	return heard
}

// asked waits until somebody asks who has an address that he wants: RFC 5227 section 1.1.
func (e *ear) asked(t *testing.T, addr netip.Addr, within time.Duration) {
	t.Helper()
	for f := range e.frames(t, within) {
		if len(f) >= 42 && f[12] == 0x08 && f[13] == 0x06 && slices.Equal(f[28:32], make([]byte, 4)) && slices.Equal(f[38:42], addr.AsSlice()) {
			return
		}
	}
	t.Fatalf("waited %s in vain for a probe of %s", within, addr)
}

// frames come in within a time.
func (e *ear) frames(t *testing.T, within time.Duration) iter.Seq[[]byte] {
	t.Helper()
	return func(yield func([]byte) bool) {
		t.Helper()
		buf := make([]byte, 2048)
		for end := time.Now().Add(within); ; {
			left := unix.NsecToTimeval(max(time.Until(end), time.Microsecond).Nanoseconds())
			if err := unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &left); err != nil {
				t.Fatal(err)
			}
			n, _, err := unix.Recvfrom(e.fd, buf, 0)
			if err == unix.EAGAIN || time.Now().After(end) {
				return
			}
			if err != nil && err != unix.EINTR {
				t.Fatal(err)
			}
			if !yield(buf[:max(n, 0)]) {
				return
			}
		}
	}
}

// announcement reads a frame: RFC 826, RFC 4861 section 4.4.
func announcement(f []byte) (netip.Addr, string, bool) {
	switch {
	case len(f) >= 42 && f[12] == 0x08 && f[13] == 0x06 && slices.Equal(f[28:32], f[38:42]):
		return netip.AddrFrom4([4]byte(f[28:32])), net.HardwareAddr(f[22:28]).String(), true
	case len(f) >= 78 && f[12] == 0x86 && f[13] == 0xdd && f[20] == unix.IPPROTO_ICMPV6 && f[54] == 136 && f[38] == 0xff:
		return netip.AddrFrom16([16]byte(f[62:78])), net.HardwareAddr(f[6:12]).String(), true
	}
	return netip.Addr{}, "", false
}

// A start of what runs changes nothing but what the neighbours may have got
// wrong: it announces the addresses again.
func TestStartTwice(t *testing.T) {
	t.Parallel()
	for _, r := range []resource{mta(), vip(), service("plain.service", "ip", vip4+" "+vip6)} {
		t.Run(r.agent, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			n := p.node
			ear := listen(t, p.Client())
			mac := run(t, n, "cat /sys/class/net/eth0/address")
			for i, what := range []string{"first", "second"} {
				before := left(t, n)
				var s *session
				if i > 0 && r.agent == "mta" {
					s = connect(t, p.Client(), vip4)
					before = left(t, n)
				}
				r.start(t, n)
				heard := ear.announced(t, time.Second)
				for _, addr := range []string{vip4, vip6} {
					if heard[netip.MustParseAddr(addr)] != mac {
						t.Errorf("%s start: %s was announced for %q, want %q", what, addr, heard[netip.MustParseAddr(addr)], mac)
					}
				}
				if s != nil {
					s.say("NOOP", 250)
				}
				if after := left(t, n); i > 0 && !slices.Equal(processes(before), processes(after)) {
					t.Errorf("second start: before it\n%s\nafter it\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
				}
				r.monitor(t, n, 10)
			}
			r.stop(t, n)
			bare(t, n)
		})
	}
}

// processes are the daemons among the lines of left, by PID. Those that serve
// one client come and go.
func processes(found []string) []string {
	var ps []string
	for _, line := range found {
		f := strings.Fields(line)
		if f[0] == "process" && !strings.HasPrefix(f[3], "dovecot-mail/") && !slices.Contains([]string{"smtpd", "smtp", "cleanup", "proxymap", "anvil", "trivial-rewrite"}, f[3]) {
			ps = append(ps, strings.Join(f[2:], " "))
		}
	}
	slices.Sort(ps)
	return ps
}

// New connections meet no closed gate while a running resource is started.
func TestStartTwiceKeepsTheGateOpen(t *testing.T) {
	p := newPlace(t, lab.Config{})
	r := mta()
	r.start(t, p.node)
	done := r.background(t, p.node, "start", call{})
	for running := true; running; {
		select {
		case a := <-done:
			if a.code != success {
				t.Errorf("start: %s", a)
			}
			running = false
		default:
		}
		conn, err := dial(p.Client(), net.JoinHostPort(vip4, "25"), 500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		// One at a time: a queue of connections that nobody served would overflow.
		newSession(t, conn).hear(220)
		conn.Close()
	}
	r.stop(t, p.node)
}
