// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPick(t *testing.T) {
	const stanzas = `Types: deb
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://b.example/tool
Suites: nodistro

# comment
Types: deb
URIs: http://c.example/security
suites: bookworm-security
`
	got := pick(stanzas, "\n\n", "bookworm", stanzaSuites)
	if !strings.Contains(got, "a.example") || !strings.Contains(got, "c.example") || strings.Contains(got, "b.example") {
		t.Errorf("deb822: got\n%s", got)
	}
	const lines = `# deb http://z.example bookworm main
deb http://a.example/debian bookworm main
deb [arch=amd64 signed-by=/x/y.gpg] http://c.example bookworm-security main
deb-src http://a.example/debian bookworm main
deb http://b.example tool-bookworm main
deb http://d.example bookwormish main
deb
deb [ bookworm
`
	want := "deb http://a.example/debian bookworm main\ndeb [arch=amd64 signed-by=/x/y.gpg] http://c.example bookworm-security main\n"
	if got := pick(lines, "\n", "bookworm", lineSuites); got != want {
		t.Errorf("one-line: got\n%s\nwant\n%s", got, want)
	}
}

func FuzzPick(f *testing.F) {
	f.Add("deb [a] http://x bookworm main\n\nSuites: bookworm\n")
	f.Fuzz(func(t *testing.T, text string) {
		for sep, suites := range map[string]func(string) []string{"\n": lineSuites, "\n\n": stanzaSuites} {
			if got := pick(text, sep, "bookworm", suites); got != "" && !strings.Contains(text, "bookworm") {
				t.Errorf("picked %q from %q", got, text)
			}
		}
	})
}

func TestHostSources(t *testing.T) {
	suite, err := hostSuite()
	if err != nil {
		t.Fatal(err)
	}
	files, err := hostSources(t.TempDir(), suite)
	if err != nil || len(files) == 0 {
		t.Errorf("got %q, %v", files, err)
	}
	if _, err := hostSources(t.TempDir(), "nonesuch"); !errors.Is(err, errNoSources) {
		t.Errorf("unknown release: got %v", err)
	}
}

func TestRecipeNamesTheImage(t *testing.T) {
	if a, b := recipe("bookworm"), recipe("trixie"); a == b || len(a) != 12 || a != recipe("bookworm") {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestRunReports(t *testing.T) {
	var log bytes.Buffer
	err := run(t.Context(), &log, nil, "sh", "-c", "echo noise; echo I: unpacking; for i in $(seq 30); do echo line $i; done; echo E: no space left >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "E: no space left") || !strings.Contains(err.Error(), "exit status 3") || strings.Contains(err.Error(), "line 10\n") {
		t.Errorf("got %v", err)
	}
	if got := log.String(); !strings.Contains(got, "0 s: unpacking\n") || strings.Contains(got, "noise") {
		t.Errorf("log: %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := run(ctx, &log, nil, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	held, err := lock(t.Context(), file, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, file, &log); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(log.String(), "another process") {
		t.Errorf("got %v, log %q", err, log.String())
	}
}

// What a build that was killed has mounted, the host's devices for one, is not removed
// along with what it has made.
func TestDiscardSparesWhatIsMounted(t *testing.T) {
	tree, host := t.TempDir()+"/base.new", t.TempDir()
	file := filepath.Join(host, "null")
	if err := errors.Join(os.MkdirAll(tree+"/dev/pts", 0o755), os.WriteFile(file, nil, 0o600), os.Mkdir(host+"/pts", 0o755)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // on a thread that ends with its mounts
		runtime.LockOSThread()
		done <- errors.Join(
			unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(host, tree+"/dev", "", unix.MS_BIND, ""),
			unix.Mount("tmpfs", tree+"/dev/pts", "tmpfs", 0, ""),
			discard(tree),
		)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
	if _, err := os.Stat(tree); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the tree is still there: %v", err)
	}
}

// The recipe itself is tried by the tests of package lab; this one shows that
// it fails with the builder's own words and leaves nothing.
func TestBuildFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "base")
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/mmdebstrap", []byte("#!/bin/sh\necho I: running apt-get update...\necho E: the mirror is down\nexit 25\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	suite, err := hostSuite()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	err = build(t.Context(), suite, dir, nil, &log)
	if err == nil || !strings.Contains(err.Error(), "the mirror is down") {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
