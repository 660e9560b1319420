// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// ownerEnv makes this test binary own a lab of that name until it is killed.
const ownerEnv = "MAILHA_LAB_TEST_OWNER"

func ownAndHang(name string) {
	if _, err := lab.Up(context.Background(), lab.Config{Name: name, Disk: true, Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("up")
	io.Copy(io.Discard, os.Stdin) // for ever: the test holds the other end
	os.Exit(0)
}

// owned is the prefix of the names of all labs that this run makes.
func owned() string { return fmt.Sprintf("t%d", os.Getpid()) }

// startOwner starts another process that makes a lab, with a file system
// mounted and a process stopped in it, so that it is harder to clear.
func startOwner(t *testing.T, name string) (*exec.Cmd, *lab.Lab) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"="+name)
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if got, err := io.ReadAll(io.LimitReader(stdout, 3)); err != nil || string(got) != "up\n" {
		t.Fatalf("owner said %q, %v", got, err)
	}
	l, err := lab.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	n := l.Node("node1")
	if _, err := n.Output(t.Context(), "mount", lab.DiskPath, "/mnt"); err != nil {
		t.Fatal(err)
	}
	if err := n.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cmd, l
}

func killOwner(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// killKeeper kills the process that would clear the lab.
func killKeeper(t *testing.T, name string) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		cmdline, _ := os.ReadFile(path)
		if bytes.HasSuffix(cmdline, []byte("\x00keep\x00-name\x00"+name+"\x00")) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("lab %s has no keeper", name)
}

func TestLabDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	name := owned() + "owna"
	cmd, l := startOwner(t, name)
	if err := l.Down(); !errors.Is(err, lab.ErrInUse) {
		t.Errorf("Down of another's lab: got %v, want ErrInUse", err)
	}
	if _, err := lab.Up(t.Context(), lab.Config{Name: name}); !errors.Is(err, lab.ErrInUse) {
		t.Errorf("Up of another's lab: got %v, want ErrInUse", err)
	}
	killOwner(cmd)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for tick := time.Tick(20 * time.Millisecond); ; {
		left := tracesOf(name)
		if left == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("10 s after the owner's death there is:\n%s", left)
		case <-tick:
		}
	}
}

func TestSweepTakesTheDeadOnly(t *testing.T) {
	t.Parallel()
	living := labtest.Up(t, lab.Config{Name: owned() + "ownb"})
	name := owned() + "ownc"
	cmd, dead := startOwner(t, name)
	killKeeper(t, name)
	killOwner(cmd)
	if !dead.Node("node1").Running() {
		t.Fatal("nobody was there to take the lab down, yet it is")
	}
	var log bytes.Buffer
	if err := lab.Sweep(t.Context(), &log); err != nil {
		t.Fatal(err)
	}
	if left := tracesOf(name); left != "" {
		t.Errorf("after the sweep there is:\n%s", left)
	}
	if !strings.Contains(log.String(), name) || strings.Contains(log.String(), living.Name()) {
		t.Errorf("swept: %q", log.String())
	}
	if _, err := living.Node("node1").Output(t.Context(), "true"); err != nil {
		t.Errorf("the lab of a living owner: %v", err)
	}
	if _, err := lab.Open(name); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("Open: got %v, want ErrNoLab", err)
	}
}

func TestUpReplacesTheDead(t *testing.T) {
	t.Parallel()
	name := owned() + "ownd"
	cmd, _ := startOwner(t, name)
	killKeeper(t, name)
	killOwner(cmd)
	l := labtest.Up(t, lab.Config{Name: name, Nodes: 2})
	if _, err := l.Node("node2").Output(t.Context(), "ping", "-c1", "-w5", "node1"); err != nil {
		t.Error(err)
	}
}

func TestUpFailsCleanly(t *testing.T) {
	t.Parallel()
	for _, cfg := range []lab.Config{
		{Name: ""}, {Name: "A"}, {Name: "a-b"}, {Name: "../x"}, {Name: "a23456789012345678"},
		{Name: "a", Nodes: -1}, {Name: "a", Nodes: lab.MaxNodes + 1},
	} {
		if _, err := lab.Up(t.Context(), cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	name := owned() + "owne"
	if _, err := lab.Up(t.Context(), lab.Config{Name: name, Binary: "/bin/sh"}); !errors.Is(err, lab.ErrDynamic) {
		t.Errorf("got %v, want ErrDynamic", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // while some nodes boot and others do not exist yet
		for tick := time.Tick(time.Millisecond); ; <-tick {
			if _, err := os.Stat("/run/mailha-lab/" + name + "/node3.console"); err == nil || ctx.Err() != nil {
				cancel()
				return
			}
		}
	}()
	if _, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 5, Disk: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	cancel()
	if left := tracesOf(name); left != "" {
		t.Errorf("failed to come up, yet there is:\n%s", left)
	}
}

// traces describes what the machine has of labs that this run makes, and the
// host's own network.
func traces() string {
	var b strings.Builder
	b.WriteString(tracesOf(owned()))
	for _, args := range []string{"-br link", "-4 -br addr", "route", "-6 route"} {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		fmt.Fprintf(&b, "ip %s: %s %v\n", args, out, err)
	}
	return b.String()
}

func tracesOf(name string) string {
	var found []string
	for _, pattern := range []string{
		"/run/mailha-lab/" + name + "*", "/var/lib/mailha-lab/" + name + "*", "/run/netns/mailha-" + name + "*",
		"/sys/fs/cgroup/mailha-lab/" + name + "*", "/sys/fs/cgroup/*/mailha-lab/" + name + "*",
	} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/mailha-lab/"+name) {
			found = append(found, "mount: "+line)
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range loops {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte("/mailha-lab/"+name)) {
			found = append(found, f+": "+string(b))
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range procs {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte("/mailha-lab/"+name)) || bytes.Contains(b, []byte("-name\x00"+name)) {
			found = append(found, f+": "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return strings.Join(found, "\n")
}
