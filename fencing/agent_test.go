// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script writes an agent, and returns a device of it.
func script(t *testing.T, text string) Device {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fence_test")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Device{Name: "d", Agent: file, Ports: map[string]string{"n1": "7"}, Timeout: 5 * time.Second, Attempts: 1}.withDefaults()
}

func secret(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// What an agent gets: lines on its input, and nothing of this process.
func TestWhatAnAgentGets(t *testing.T) {
	t.Setenv("MAILHA_TEST", "leaks")
	dir := t.TempDir()
	d := script(t, fmt.Sprintf(`cat >%[1]s/input; env >%[1]s/env; pwd >%[1]s/pwd; tr '\0' '\n' </proc/$$/cmdline >%[1]s/cmdline`, dir))
	d.Parameters = map[string]string{"ip": "192.0.2.1", "lanplus": "true", "empty": ""}
	d.Secrets = map[string]string{"password": secret(t, "pass=word \"x\" #1\n", 0o600)}
	if a, err := call(t.Context(), d, askOff, "n1"); err != nil || a.code != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got, want := read("input"), "action=off\nempty=\nip=192.0.2.1\nlanplus=true\nnodename=n1\npassword=pass=word \"x\" #1\nplug=7\nport=7\n"; got != want {
		t.Errorf("input: got %q, want %q", got, want)
	}
	if got := read("env"); strings.Contains(got, "MAILHA") || strings.Contains(got, "word") || !strings.Contains(got, "PATH=/usr/sbin:") {
		t.Errorf("environment: %q", got)
	}
	if got := read("cmdline"); strings.Contains(got, "word") || strings.Contains(got, "192") {
		t.Errorf("command line: %q", got)
	}
	if got := read("pwd"); got != "/\n" {
		t.Errorf("directory: %q", got)
	}
}

// A secret that an agent prints is in nothing that we say.
func TestSecretsAreKept(t *testing.T) {
	d := script(t, `. /dev/stdin; echo "2026-01-02 03:04:05,678 ERROR: Failed: login as root with $password" >&2; echo >&2; echo "Please use '-h' for usage" >&2; exit 1`)
	d.Secrets = map[string]string{"password": secret(t, "hunter2", 0o600)}
	f, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	got := f.Fence(t.Context(), Order{Node: "n1"})
	if all := strings.Join(got.Lines(), "\n"); strings.Contains(all, "hunter2") || !strings.Contains(all, "failed to switch off: Failed: login as root with … (exit code 1)") {
		t.Errorf("got %s", all)
	}
}

func TestSecretFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	other := secret(t, "x", 0o600)
	if err := os.Chown(other, 12345, 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, want, err string }{
		{secret(t, "x", 0o600), "x", ""},
		{secret(t, "a b\r\n", 0o400), "a b", ""},
		{secret(t, "hidden", 0o640), "", "may be read by others (mode 0640): chmod 0600 it"},
		{secret(t, "hidden", 0o604), "", "may be read by others"},
		{secret(t, "", 0o600), "", "is empty"},
		{secret(t, "\n", 0o600), "", "is empty"},
		{secret(t, "hidden\naction=on\n", 0o600), "", "has to have one line"},
		{secret(t, "hidden\x00", 0o600), "", "has to have one line"},
		{secret(t, strings.Repeat("x", 5000), 0o600), "", "has to have one line"},
		{pipe, "", "is no file"},
		{t.TempDir(), "", "is no file"},
		{other, "", "does not belong to root"},
		{"/nowhere/x", "", "no such file"},
	} {
		got, err := readSecret(tt.file)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), tt.file) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: got %q, %v; want %q, %q", tt.file, got, err, tt.want, tt.err)
		}
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, group, world, plain, other := put("fence_good", 0o755), put("fence_group", 0o775), put("fence_world", 0o757), put("fence_plain", 0o644), put("fence_other", 0o755)
	if err := os.Chown(other, 12345, 0); err != nil {
		t.Fatal(err)
	}
	link, bad := filepath.Join(dir, "fence_link"), filepath.Join(dir, "fence_bad")
	open := filepath.Join(dir, "open")
	err := errors.Join(os.Symlink(good, link), os.Symlink(world, bad), os.Mkdir(open, 0o755), os.Chmod(open, 0o777), os.WriteFile(filepath.Join(open, "fence_x"), nil, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ agent, err string }{
		{good, ""}, {link, ""},
		{group, "may be written by others than root"}, {world, "may be written by others than root"}, {bad, "may be written by others than root"},
		{filepath.Join(open, "fence_x"), "may be written by others than root"},
		{plain, "is no program"}, {dir, "is no program"}, {other, "does not belong to root"},
		{"fence_there_is_none", "/usr/sbin/fence_there_is_none is not installed"}, {"sh", "begins with fence_"}, {"fence_../../bin/sh", "begins with fence_"}, {"", "begins with fence_"},
	} {
		path, err := locate(tt.agent)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || err == nil && path != tt.agent {
			t.Errorf("%q: got %q, %v; want %q", tt.agent, path, err, tt.err)
		}
	}
}

// gone says whether a process has ended.
func gone(t *testing.T, file string) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// Agents that behave badly are cut short in time, and leave nothing behind.
func TestOddAgents(t *testing.T) {
	const short, timeout = 700 * time.Millisecond, 10 * time.Second // the short one for those that are late
	dir := t.TempDir()
	for _, tt := range []struct {
		name, text string
		code       int
		late       bool
		said       string
		most       time.Duration
	}{
		{"ignores SIGTERM and everything else", `trap '' TERM INT HUP; while :; do sleep 0.01; done`, -1, true, "", short + stuck},
		{"has children that hold its output", `sleep 1000 & echo $! >` + dir + `/child; echo done; exit 0`, 0, false, "done", linger + 3*time.Second},
		{"has a child that left its group", `setsid sh -c 'echo $$ >` + dir + `/away; sleep 10' & while [ ! -s ` + dir + `/away ]; do sleep 0.01; done; echo done; exit 0`, 0, false, "done", linger + 3*time.Second},
		{"hangs with its children", `sleep 1000 & echo $! >` + dir + `/child2; wait`, -1, true, "", short + stuck},
		{"floods", `yes "failed: a line" >&2`, -1, true, "", short + stuck},
		{"floods and ends", `head -c 3000000 /dev/zero | tr '\0' 'x'; echo; echo "fail: last words" >&2; exit 1`, 1, false, "fail: last words", timeout},
		{"does not read", `exec <&-; exit 3`, 3, false, "", timeout},
		{"control characters", `printf 'fail \033[31mred\007\377\n' >&2; exit 1`, 1, false, "fail  [31mred ?", timeout},
		{"ends by a signal", `kill -9 $$`, -1, false, "", timeout},
		{"no interpreter", ``, 0, false, "", timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := script(t, tt.text)
			limit := timeout
			if tt.late {
				limit = short
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			began := time.Now()
			a, err := call(ctx, d, askOff, "n1")
			took := time.Since(began)
			if errors.Is(err, errLate) != tt.late || tt.code >= 0 && (err != nil || a.code != tt.code) || tt.code < 0 && err == nil || a.said != tt.said && !tt.late || took > tt.most+500*time.Millisecond {
				t.Errorf("got %+v, %v after %v", a, err, took)
			}
		})
	}
	for _, child := range []string{"child", "child2"} {
		if !gone(t, filepath.Join(dir, child)) {
			t.Errorf("%s is left", child)
		}
	}
}

// Nothing that an agent prints, and no exit code but one, is an off.
func TestOddStatus(t *testing.T) {
	for _, status := range []string{"echo off; exit 0", "echo 'Status: OFF'; exit 1", "head -c 1000 /dev/urandom; exit 0", "exit 3", "exit 255", "kill -9 $$", "kill -15 $$", "sleep 1000"} {
		d := script(t, `if grep -q action=status; then `+status+`; fi; exit 0`)
		d.Timeout = 300 * time.Millisecond
		f, err := New(Config{Devices: []Device{d}})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Fence(t.Context(), Order{Node: "n1"}); got.Confirmed {
			t.Errorf("%s: %v", status, got)
		}
	}
	d := script(t, `if grep -q action=status; then exit 2; fi; exit 0`)
	f, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Fence(t.Context(), Order{Node: "n1"}); !got.Confirmed || len(got.Tries) != 2 {
		t.Errorf("%v", got.Lines())
	}
}

// The agent goes when whoever asked goes away.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	d := script(t, `echo $$ >`+dir+`/pid; exec sleep 1000`)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("on second thoughts")
	go func() {
		for {
			if data, err := os.ReadFile(dir + "/pid"); err == nil && len(data) > 0 {
				cancel(why)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := call(ctx, d, askOff, "n1"); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if !gone(t, dir+"/pid") {
		t.Error("it goes on")
	}
}

func TestOptions(t *testing.T) {
	for _, lines := range []map[string]string{{"a": "x\ny"}, {"a": "x\ry"}, {"a": "\x00"}, {"a b": "x"}, {"a=": "x"}, {"#a": "x"}, {"": "x"}, {"a": strings.Repeat("x", 50<<10)}} {
		if got, err := options(lines); err == nil {
			t.Errorf("%q: got %q", lines, got)
		}
	}
}

// Devices that shut a node out let it in again when it comes up; others are not touched.
func TestUnfence(t *testing.T) {
	dir := t.TempDir()
	agent := func(attrs, on string) Device {
		meta := strings.Replace(strings.ReplaceAll(goodMetadata, `required="1"`, ""), `<action name="on" automatic="0"/>`, `<action name="on" `+attrs+`/>`, 1)
		file := filepath.Join(t.TempDir(), "meta")
		if err := os.WriteFile(file, []byte(meta), 0o644); err != nil {
			t.Fatal(err)
		}
		return script(t, `in=$(cat); case $in in *action=metadata*) cat `+file+`;; *action=on*) echo "$in" | grep plug= >>`+dir+`/on; `+on+`;; esac`)
	}
	power, fabric, older, broken := agent(`automatic="0"`, ""), agent(`automatic="1" on_target="1"`, ""), agent(`required="1"`, ""), agent(`automatic="1"`, "exit 1")
	power.Name, fabric.Name, older.Name, broken.Name = "power", "fabric", "older", "broken"
	f, err := New(Config{Devices: []Device{power, fabric, older}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	tries, err := f.Unfence(t.Context())
	data, _ := os.ReadFile(dir + "/on")
	if err != nil || len(tries) != 2 || tries[0].Device != "fabric" || tries[1].Device != "older" || string(data) != "plug=7\nplug=7\n" {
		t.Errorf("got %v, %v, %q", tries, err, data)
	}
	// One that hangs holds nobody up: each waits until the other one has begun.
	var pair []Device
	for i, marks := range [][2]string{{"a", "b"}, {"b", "a"}} {
		d := agent(`automatic="1"`, "touch "+dir+"/"+marks[0]+"; until test -e "+dir+"/"+marks[1]+"; do sleep 0.01; done")
		d.Name = []string{"first", "second"}[i]
		pair = append(pair, d)
	}
	if err := f.Set(pair); err != nil {
		t.Fatal(err)
	}
	if tries, err := f.Unfence(t.Context()); err != nil || len(tries) != 2 {
		t.Errorf("two at once: %v, %v", tries, err)
	}
	if err := f.Set([]Device{broken}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Unfence(t.Context()); err == nil || !strings.Contains(err.Error(), "fence device broken: failed to switch on") {
		t.Errorf("got %v", err)
	}
}
