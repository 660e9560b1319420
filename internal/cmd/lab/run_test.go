// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string // parts
	}{
		{"", 0, "lab up", ""},
		{"help", 0, "lab sweep", ""},
		{"--help", 0, "lab sweep", ""},
		{"up -h", 0, "", "usage: lab up"},
		{"up surplus", 2, "", "usage: lab up"},
		{"up -nodes x", 2, "", "invalid value"},
		{"nonesuch", 2, "", `unknown subcommand "nonesuch"`},
		{"status surplus", 2, "", "usage: lab status"},
		{"kill", 2, "", "usage: lab kill"},
		{"exec node1", 2, "", "usage: lab exec"},
		{"exec node1 --", 2, "", "usage: lab exec"},
		{"shell", 2, "", "usage: lab shell"},
		{"status -name nonesuch", 1, "", "nonesuch: no such lab"},
		{"down -name nonesuch", 1, "", "nonesuch: no such lab"},
		{"kill -name nonesuch node1", 1, "", "nonesuch: no such lab"},
		{"exec -name nonesuch node1 true", 1, "", "nonesuch: no such lab"},
		{"status -name a/b", 1, "", "lab name"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(tt.args), nil, &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("lab %s: got %d, %q, %q; want %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
	for _, hidden := range []string{"keep", "serve"} {
		var stdout bytes.Buffer
		if run(t.Context(), nil, nil, &stdout, nil); strings.Contains(stdout.String(), "lab "+hidden) {
			t.Errorf("help shows %s, which is not for people", hidden)
		}
	}
}

func TestNameFromEnvironment(t *testing.T) {
	t.Setenv("MAILHA_LAB", "fromenv")
	var stderr bytes.Buffer
	if run(t.Context(), []string{"status"}, nil, nil, &stderr); !strings.Contains(stderr.String(), "fromenv") {
		t.Errorf("got %q", &stderr)
	}
}

// build makes the program where anybody can execute it.
func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mailha-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "lab")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNotRoot(t *testing.T) {
	cmd := exec.Command(build(t), "up")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "need root") || !strings.Contains(string(out), "sudo") {
		t.Errorf("got %v, %q; want the reason and the way out", err, out)
	}
}

// TestLifeOfALab goes through the subcommands as a person would, each a process
// of its own.
func TestLifeOfALab(t *testing.T) {
	bin, name := build(t), fmt.Sprintf("c%d", os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	lab := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Env = append(os.Environ(), "MAILHA_LAB="+name)
		cmd.WaitDelay = 10 * time.Second // "up" must not leave its streams to what it starts
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != want {
			t.Fatalf("lab %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Cleanup(func() {
		cmd := exec.Command(bin, "down", "-name", name)
		cmd.Run() // there is nothing to do if all went well
	})
	lab(0, "up", "-nodes", "2", "-disk")
	lab(1, "up") // in use
	lab(0, "sweep")
	if out := lab(0, "status"); strings.Count(out, "on, PID") != 2 {
		t.Errorf("status: %s", out)
	}
	if out := lab(0, "exec", "node1", "--", "hostname"); out != "node1\n" {
		t.Errorf("exec: %q", out)
	}
	lab(7, "exec", "node2", "sh", "-c", "exit 7")
	lab(0, "exec", "client", "ping", "-c1", "-W1", "-q", "10.77.0.11")
	lab(1, "exec", "nobody", "true")
	lab(0, "cut", "node1")
	lab(1, "exec", "client", "ping", "-c1", "-W1", "-q", "10.77.0.11")
	lab(0, "mend", "node1")
	lab(0, "pause", "node1")
	lab(0, "resume", "node1")
	lab(0, "exec", "node2", "sh", "-c", "printf 'action=off\nplug=node1\n' | fence_lab")
	if out := lab(0, "status"); strings.Count(out, "on, PID") != 1 || !strings.Contains(out, "fence_lab off node1") {
		t.Errorf("status: %s", out)
	}
	lab(1, "exec", "node1", "true")
	lab(0, "start", "node1")
	lab(0, "off", "node1")
	lab(0, "kill", "node2")
	lab(1, "kill", "node3")
	lab(0, "down")
	lab(1, "status")
}
