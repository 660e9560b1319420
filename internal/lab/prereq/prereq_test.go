// SPDX-License-Identifier: Apache-2.0

package prereq

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		there []string
		want  []string
	}{
		{"all there", []string{"mmdebstrap", "systemd-nspawn", "journalctl", "ip", "mkfs.ext4", "tune2fs", "nsenter", "ping", "tcpdump"}, nil},
		{"two programs of one package", []string{"mmdebstrap", "systemd-nspawn", "journalctl", "ip", "nsenter", "ping", "tcpdump"}, []string{"e2fsprogs"}},
		{"one", []string{"systemd-nspawn", "journalctl", "ip", "mkfs.ext4", "tune2fs", "nsenter", "ping", "tcpdump"}, []string{"mmdebstrap"}},
	} {
		there := map[string]bool{}
		for _, p := range tt.there {
			there[p] = true
		}
		if diff := cmp.Diff(tt.want, missing(wanted, func(p string) bool { return there[p] })); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestAptSaysWhy(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/apt-get", []byte("#!/bin/sh\nseq 100\necho \"E: Unable to locate package $DEBIAN_FRONTEND\"\nexit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	err := apt(t.Context(), "install", "x")
	if err == nil || !strings.Contains(err.Error(), "Unable to locate package noninteractive") || strings.Contains(err.Error(), "\n50\n") {
		t.Errorf("got %v", err)
	}
}

func TestLastLines(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "a\nb\nc\n": "b\nc"} {
		if got := lastLines([]byte(in), 2); !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
