// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// image makes a file with a file system on it.
func image(t testing.TB, commands ...[]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		t.Fatal(err)
	}
	for _, argv := range commands {
		if out, err := exec.Command(argv[0], append(argv[1:], file)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	return file
}

func head(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data[:superBytes]
}

// What e2fsprogs writes is what is read.
func TestSuper(t *testing.T) {
	mkfs := func(args ...string) []string { return append([]string{"mkfs.ext4", "-q", "-F"}, args...) }
	state := func(s string) []string { return []string{"debugfs", "-w", "-R", "ssv state " + s} }
	for _, tt := range []struct {
		name     string
		commands [][]string
		want     super
		mmp      bool
	}{
		{name: "nothing"},
		{name: "ext4", commands: [][]string{mkfs()}, want: super{kind: "ext4", journal: true, clean: true}},
		{name: "ext2", commands: [][]string{{"mkfs.ext2", "-q", "-F"}}, want: super{kind: "ext4", clean: true}},
		{name: "errors", commands: [][]string{mkfs(), state("3")}, want: super{kind: "ext4", journal: true, clean: true, faulty: true}},
		{name: "not clean", commands: [][]string{mkfs("-O", "^has_journal"), state("0")}, want: super{kind: "ext4"}},
		{name: "multi-mount protection, 1 kB", commands: [][]string{mkfs("-O", "mmp", "-b", "1024")}, want: super{kind: "ext4", journal: true, clean: true}, mmp: true},
		{name: "multi-mount protection, 4 kB", commands: [][]string{mkfs("-O", "mmp", "-b", "4096")}, want: super{kind: "ext4", journal: true, clean: true}, mmp: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := image(t, tt.commands...)
			got := parseSuper(head(t, file))
			protection, ok := newHelpers("test").mmp(t.Context(), file, got)
			if ok != tt.mmp || ok && (protection.seq != mmpClean || protection.wait() != 0) {
				t.Errorf("multi-mount protection: %+v, %t", protection, ok)
			}
			got.mmp = 0
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	for name, data := range map[string][]byte{
		"xfs":   append([]byte("XFSB"), make([]byte, superBytes)...),
		"btrfs": append(append(make([]byte, btrfsSuper), btrfsMagic...), 0),
	} {
		if got := parseSuper(data); got.kind != name || !got.journal {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestMMP(t *testing.T) {
	for _, tt := range []struct {
		m    mmp
		want time.Duration
	}{
		{mmp{seq: mmpClean, interval: time.Minute}, 0},
		{mmp{seq: 5}, 22 * time.Second},
		{mmp{seq: 5, interval: 10 * time.Second}, 42 * time.Second},
		{mmp{seq: 5, interval: 5 * time.Minute}, 12 * time.Minute},
	} {
		if got := tt.m.wait(); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.m, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name          string
		before, after mmp
		want          bool
	}{
		{"nobody", mmp{seq: mmpClean}, mmp{seq: mmpClean}, false},
		{"a dead node's mark", mmp{seq: 7}, mmp{seq: 7}, false},
		{"a living node", mmp{seq: 7, node: "a"}, mmp{seq: 8, node: "a"}, true},
		{"came meanwhile", mmp{seq: mmpClean}, mmp{seq: 8, node: "b"}, true},
		{"went meanwhile", mmp{seq: 7, node: "a"}, mmp{seq: mmpClean, node: "a"}, false},
		{"is checked", mmp{seq: mmpFsck}, mmp{seq: mmpFsck, node: "c"}, true},
	} {
		if got := rival(tt.before, tt.after); (got != "") != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func FuzzSuper(f *testing.F) {
	f.Add(head(f, image(f, []string{"mkfs.ext4", "-q", "-F", "-O", "mmp"}))[:4096], "mmp")
	f.Add([]byte("XFSB"), "")
	f.Fuzz(func(t *testing.T, data []byte, block string) {
		if s := parseSuper(data); s.mmp < 0 {
			t.Errorf("multi-mount protection at %d", s.mmp)
		}
		if m, ok := parseMMP([]byte(block)); ok && m.wait() < 0 {
			t.Errorf("wait %s", m.wait())
		}
	})
}
