// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
)

func TestInetPorts(t *testing.T) {
	const master = `smtp       inet  n       -       n       -       -       smtpd
smtp       unix  -       -       n       -       -       smtp
10025      inet  n       -       n       -       -       smtpd
submission inet  n       -       n       -       -       smtpd -o syslog_name=postfix/submission
127.0.0.1:smtps inet n   -       n       -       -       smtpd
[::1]:10026 inet n       -       n       -       -       smtpd
pickup     unix  n       -       n       60      1       pickup
`
	ports, err := inetPorts(master)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint16{25, 10025, 587, 465, 10026}; !slices.Equal(ports, want) {
		t.Errorf("ports %v, want %v", ports, want)
	}
	for _, bad := range []string{"nosuchservice inet n", "0 inet n", "70000 inet n", ":: inet n"} {
		if ports, err := inetPorts(bad); err == nil {
			t.Errorf("%q gave %v", bad, ports)
		}
	}
}

func TestListenAddr(t *testing.T) {
	for text, want := range map[string]string{
		"all":                         "127.0.0.1",
		"loopback-only":               "127.0.0.1",
		"":                            "127.0.0.1",
		"192.0.2.25":                  "192.0.2.25",
		"mx.example.test, 192.0.2.25": "192.0.2.25",
		"[2001:db8::25] 192.0.2.25":   "2001:db8::25",
	} {
		if got := listenAddr(text); got.String() != want {
			t.Errorf("listenAddr(%q) = %s, want %s", text, got, want)
		}
	}
}

// Systemd makes the same names for the path and for the slice of a template.
func TestInspectNamesTheUnitWithoutConfiguration(t *testing.T) {
	p := NewPostfix(new(Instance))
	p.ConfigDir = "/etc/no-such-postfix"
	p.Binary = "/no/such/postfix"
	facts, err := p.Inspect(t.Context())
	if !errors.Is(err, agents.ErrInstalled) {
		t.Fatalf("got %v", err)
	}
	if want := `mailha-postfix@etc-no\x2dsuch\x2dpostfix.service`; facts.Unit != want {
		t.Errorf("unit %q, want %q", facts.Unit, want)
	}
	if want := `/system.slice/system-mailha\x2dpostfix.slice/` + facts.Unit; facts.Process.ControlGroup != want {
		t.Errorf("control group %q, want %q", facts.Process.ControlGroup, want)
	}
	if want := "MAIL_CONFIG=/etc/no-such-postfix"; facts.Process.Environ != want {
		t.Errorf("variable %q, want %q", facts.Process.Environ, want)
	}
}

func TestQueued(t *testing.T) {
	dir := t.TempDir()
	p, f := NewPostfix(new(Instance)), agents.Facts{DataDir: dir}
	if _, _, err := p.Queued(f, "4ABCDEF"); err == nil {
		t.Error("a queue that is not there has no message: that is no proof of delivery")
	}
	for _, file := range []string{"incoming/1ABCDEF", "active/2ABCDEF", "deferred/3/3ABCDEF", "deferred/4/4/4ABCDEF", "hold/5ABCDEF", "corrupt/6ABCDEF"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{
		"1ABCDEF": "incoming", "2ABCDEF": "active", "3ABCDEF": "deferred", "4ABCDEF": "deferred",
		"5ABCDEF": "hold", "6ABCDEF": "corrupt", "7ABCDEF": "",
	} {
		if got, _, err := p.Queued(f, id); err != nil || got != want {
			t.Errorf("Queued(%s) = %q, %v, want %q", id, got, err, want)
		}
	}
}

func TestParseLock(t *testing.T) {
	for line, want := range map[string]lock{
		"1: FLOCK  ADVISORY  READ 3817 07:00:4242 0 EOF\n":     {3817, 4242},
		"2: POSIX  ADVISORY  WRITE 12 fe:00:1 0 EOF\n":         {12, 1},
		"2: -> FLOCK  ADVISORY  WRITE 99 07:00:4242 0 EOF\n":   {},
		"3: FLOCK  ADVISORY  WRITE 0 07:00:4242 0 EOF\n":       {}, // of another PID namespace
		"4: OFDLCK ADVISORY  READ -1 07:00:4242 0 EOF\n":       {},
		"5: FLOCK  ADVISORY  READ 3817 07:00:not-number 0 E\n": {},
		"": {},
	} {
		got, ok := parseLock(line)
		if ok != (want != lock{}) || got != want {
			t.Errorf("parseLock(%q) = %+v, %v", line, got, ok)
		}
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add("1: FLOCK  ADVISORY  READ 3817 07:00:4242 0 EOF")
	f.Add("1: -> FLOCK ADVISORY READ 1 :")
	f.Fuzz(func(t *testing.T, line string) {
		if l, ok := parseLock(line); ok && l.pid <= 0 {
			t.Errorf("PID %d", l.pid)
		}
	})
}

func FuzzInetPorts(f *testing.F) {
	f.Add("smtp inet n - n - - smtpd\n")
	f.Add("[::1]:10026 inet")
	f.Fuzz(func(t *testing.T, master string) {
		// Names are looked up in a file; numbers alone are enough here.
		master = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' && !strings.ContainsRune("inet", r) {
				return '1'
			}
			return r
		}, master)
		ports, err := inetPorts(master)
		if err == nil && slices.Contains(ports, 0) {
			t.Errorf("port 0 in %v", ports)
		}
	})
}

func TestBoundTo(t *testing.T) {
	for _, tt := range []struct{ interfaces, master, want string }{
		{"all", "smtp inet n - n - - smtpd\n", "[]"},
		{"192.0.2.25, 2001:db8::25", "smtp inet n - n - - smtpd\npickup unix n - n - - pickup\n", "[192.0.2.25 2001:db8::25]"},
		{"[2001:db8::25]\t192.0.2.25", "", "[192.0.2.25 2001:db8::25]"},
		{"192.0.2.25", "127.0.0.1:10025 inet n - n - - smtpd\n[::1]:10025 inet n - n - - smtpd\n127.0.0.1:10026 inet n - n - - smtpd\n", "[127.0.0.1 192.0.2.25 ::1]"},
		{"loopback-only", "", "[127.0.0.1 ::1]"},
		{"localhost", "localhost:10025 inet n - n - - smtpd\n", "[127.0.0.1 ::1]"},
		{"mx.example.org", "", "[]"},
		{"192.0.2.25 mx.example.org", "", "[]"},
		{"192.0.2.25", "mx.example.org:587 inet n - n - - smtpd\n", "[]"},
		{"", "", "[]"},
	} {
		if got := fmt.Sprint(boundTo(tt.interfaces, tt.master)); got != tt.want {
			t.Errorf("%q, %q: want %s, got %s", tt.interfaces, tt.master, tt.want, got)
		}
	}
}
