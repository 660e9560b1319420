// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
)

// program writes a shell script and returns its path.
func program(t *testing.T, script string) agents.Path {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recover")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return agents.Path(path)
}

func TestCheckData(t *testing.T) {
	dir := func(mode os.FileMode, uid int) agents.Path {
		path := filepath.Join(t.TempDir(), "data")
		if err := errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, mode), os.Chown(path, uid, 0)); err != nil {
			t.Fatal(err)
		}
		return agents.Path(path)
	}
	good := dir(0o700, 0)
	link := agents.Path(filepath.Join(t.TempDir(), "link"))
	if err := os.Symlink(string(good), string(link)); err != nil {
		t.Fatal(err)
	}
	run := program(t, "exit 0")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		a    agent
		want error
		text string
	}{
		{"neither", agent{}, nil, ""},
		{"directory", agent{dataDir: good}, nil, ""},
		{"both", agent{dataDir: dir(0o755, 0), recover: run}, nil, ""},
		{"program alone", agent{recover: run}, agents.ErrParameter, "needs data_dir"},
		{"no directory", agent{dataDir: "/no/such/dir"}, agents.ErrInstalled, "mounted"},
		{"a file", agent{dataDir: run}, agents.ErrInstalled, "no directory"},
		{"a link", agent{dataDir: link}, agents.ErrInstalled, "no directory"},
		{"writable to its group", agent{dataDir: dir(0o775, 0)}, agents.ErrNode, "nobody else"},
		{"writable to all", agent{dataDir: dir(0o1777, 0)}, agents.ErrNode, "nobody else"},
		{"of another user", agent{dataDir: dir(0o700, 1)}, agents.ErrNode, "belong to root"},
		{"no program", agent{dataDir: good, recover: "/no/such/program"}, agents.ErrInstalled, "no program"},
		{"a program that is a directory", agent{dataDir: good, recover: good}, agents.ErrInstalled, "no program"},
		{"a program that cannot be run", agent{dataDir: good, recover: agents.Path(text)}, agents.ErrInstalled, "no program"},
	} {
		err := tt.a.checkData()
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestRecover(t *testing.T) {
	f := agents.Facts{Unit: "x.service", DataDir: t.TempDir()}
	for _, tt := range []struct {
		name, script string
		clean        bool
		did          string // in what it did
		fails        string // in the error
	}{
		{name: "after a clean end", script: "exit 1", clean: true},
		{name: "well", script: `test "$MAILHA_UNIT" = x.service && test -d "$MAILHA_DATA_DIR"`, did: "ran /"},
		{name: "well, and talkative", script: "head -c 100000 /dev/zero | tr '\\0' x", did: "ran /"},
		{name: "fails", script: "echo first; echo 'disk is full' >&2; exit 3", fails: "exit status 3: disk is full"},
		{name: "is no program", script: "", fails: ""},
	} {
		a := agent{recover: program(t, tt.script)}
		if tt.name == "is no program" {
			a.recover = ""
		}
		did, err := a.Recover(t.Context(), f, tt.clean)
		if !strings.Contains(did, tt.did) || (did == "") != (tt.did == "") || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %q, %v", tt.name, did, err)
		}
	}
}

// A recovery that takes too long ends with all that it has started.
func TestRecoverCutOff(t *testing.T) {
	dir := t.TempDir()
	a := agent{recover: program(t, "sleep 60 & echo $! >"+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; echo at it; wait")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(dir + "/pid"); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	began := time.Now()
	_, err := a.Recover(ctx, agents.Facts{DataDir: dir}, false)
	if err == nil || !strings.Contains(err.Error(), "in time") || time.Since(began) > 10*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	data, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func TestMark(t *testing.T) {
	a := &agent{}
	if got := a.MarkPath(agents.Facts{}); got != "" {
		t.Errorf("without a directory: %q", got)
	}
	dir := t.TempDir()
	if got := a.MarkPath(agents.Facts{DataDir: dir}); filepath.Dir(got) != dir {
		t.Errorf("%q", got)
	}
	one, err := a.Identity(agents.Facts{DataDir: dir})
	two, err2 := a.Identity(agents.Facts{DataDir: t.TempDir()})
	if err != nil || err2 != nil || one == two {
		t.Errorf("%q, %q, %v, %v", one, two, err, err2)
	}
	if _, err := a.Identity(agents.Facts{DataDir: "/no/such/dir"}); err == nil {
		t.Error("a directory that is not there has an identity")
	}
}

func TestTail(t *testing.T) {
	var said tail
	for range 10000 {
		said.Write([]byte("line\n"))
	}
	said.Write([]byte("the last\n\n"))
	if said.last() != "the last" || len(said.data) > 10000 {
		t.Errorf("%q of %d bytes", said.last(), len(said.data))
	}
	if (&tail{}).last() != "" {
		t.Error("something was said")
	}
}
