// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartTime(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for _, tt := range []struct {
		stat string
		want uint64
		ok   bool
	}{
		{"7 (sh)" + rest, 4711, true},
		{"7 (a) b (c) 1 2)" + rest, 4711, true}, // a name made to mislead
		{"7 (sh) S 1 2", 0, false},
		{"", 0, false},
		{"no parenthesis 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22", 0, false},
		{"7 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20", 0, false},
	} {
		got, err := startTime([]byte(tt.stat))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v; want %d, %v", tt.stat, got, err, tt.want, tt.ok)
		}
	}
}

func FuzzStartTime(f *testing.F) {
	f.Add([]byte("7 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, stat []byte) { startTime(stat) })
}

// A PID that now belongs to another process must not be touched.
func TestProcessIsNotItsPID(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := findProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := process{PID: p.PID, Start: p.Start + 1}
	if other.alive() {
		t.Error("a process with another start time counts as alive")
	}
	if err := other.signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := other.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if !p.alive() {
		t.Fatal("the process is gone: it was killed in place of another")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a living process: %v", err)
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if p.alive() { // a zombie until we wait for it
		t.Error("a zombie counts as alive")
	}
	cmd.Wait()
	if p.alive() || p.signal(unix.SIGKILL) != nil {
		t.Error("a process that is gone counts as alive, or is an error to signal")
	}
	if (process{}).alive() {
		t.Error("no process counts as alive")
	}
}

func TestLoadState(t *testing.T) {
	file := t.TempDir() + "/state"
	if err := load(file, new(nodeState)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	want := nodeState{Supervisor: process{1, 2}, Leader: process{3, 4}, Drives: []drive{{Loop: "/dev/loop9", Held: true}}}
	var got nodeState
	if err := errors.Join(save(file, want), load(file, &got)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(file, &got); err == nil {
		t.Error("half a file: no error")
	}
}

func TestLockFile(t *testing.T) {
	file := t.TempDir() + "/lock"
	unlock, err := lockFile(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, file); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	unlock, err = lockFile(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
