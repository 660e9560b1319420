// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
)

func TestTesterCheck(t *testing.T) {
	for _, tt := range []struct {
		tester tester
		ok     bool
	}{
		{tester{}, true},
		{tester{user: "check", password: "/etc/x"}, true},
		{tester{user: "check", password: "/etc/x", master: "root"}, true},
		{tester{password: "/etc/x"}, true},
		{tester{user: "check"}, false},
		{tester{master: "root"}, false},
		{tester{user: "a> b", password: "/etc/x"}, false},
	} {
		if err := tt.tester.check(); (err == nil) != tt.ok || err != nil && !errors.Is(err, agents.ErrParameter) {
			t.Errorf("%+v: %v", tt.tester, err)
		}
	}
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(text string, mode os.FileMode) string {
		path := filepath.Join(dir, "password")
		_ = os.RemoveAll(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]string{"s3 cret\n": "s3 cret", "a\nb\n": "a", "a\r\n": "a", "a": "a", "ä\n": "ä"} {
		got, err := (&tester{password: agents.Path(write(text, 0o600))}).secret()
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for name, path := range map[string]string{
		"for all to read": write("x", 0o644), "empty": "", "missing": dir + "/none", "a directory": dir,
	} {
		switch name {
		case "for all to read":
			path = write("x", 0o644)
		case "empty":
			path = write("", 0o600)
		}
		if got, err := (&tester{password: agents.Path(path)}).secret(); err == nil || got != "" || !strings.Contains(err.Error(), "check_password_file") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	path := write("x", 0o600)
	if err := os.Chown(path, 1234, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := (&tester{password: agents.Path(path)}).secret(); err == nil {
		t.Error("somebody else's file was taken")
	}
}

func TestDoorOf(t *testing.T) {
	doors := []agents.Door{
		{Protocol: imap, Port: 1, Mute: true}, {Protocol: imap, Port: 993, TLS: "tls"}, {Protocol: imap, Port: 143, TLS: "starttls"},
		{Protocol: lmtp, Path: "/run/lmtp"}, {Protocol: pop3, Port: 995, TLS: "tls"},
	}
	for protocol, want := range map[string]agents.Door{imap: doors[2], lmtp: doors[3], pop3: doors[4]} {
		if got := doorOf(doors, protocol); got == nil || got.Port != want.Port || got.Path != want.Path {
			t.Errorf("%s: %+v", protocol, got)
		}
	}
	if got := doorOf(doors, "sieve"); got != nil {
		t.Errorf("sieve: %+v", got)
	}
}

// A message has the token in its header and at its end, and lines that end with CRLF.
func TestTestMessage(t *testing.T) {
	m := testMessage("check", "TOKEN")
	if !strings.Contains(m, "\r\n"+checkHeader+": TOKEN\r\n\r\n") || !strings.HasSuffix(m, "\r\nTOKEN\r\n") ||
		strings.Contains(strings.ReplaceAll(m, "\r\n", ""), "\n") {
		t.Errorf("%q", m)
	}
}
