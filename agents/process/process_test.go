// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// start runs a program from a directory of its own under the given environment
// and returns once it printed a line.
func start(t *testing.T, script string, environ ...string) (m Match, pid int) {
	t.Helper()
	shell, err := exec.LookPath("dash")
	if err != nil {
		t.Fatal("these tests need dash: apt-get install dash")
	}
	data, err := os.ReadFile(shell)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "daemon) (x") // a name that proc(5) stat makes hard to read
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Open until the end, so that a script can wait without a child: one that has
	// not yet become another program still runs this one.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	return Match{Programs: []string{dir}, Environ: "MAIL_CONFIG=/etc/a"}, cmd.Process.Pid
}

func pids(ps []Process) []int {
	var all []int
	for _, p := range ps {
		all = append(all, p.PID)
	}
	return all
}

func TestFindTellsInstancesApart(t *testing.T) {
	const script = "echo up; read wait"
	m, pid := start(t, script, "MAIL_CONFIG=/etc/a")
	other, _ := start(t, script, "MAIL_CONFIG=/etc/ab")
	m.Programs = append(m.Programs, other.Programs...)

	found, err := Find(m)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pids(found), []int{pid}) {
		t.Errorf("found %v, want [%d] alone", found, pid)
	}
	if found, _ := Find(Match{Programs: m.Programs}); len(found) != 0 {
		t.Errorf("without a variable, a directory of programs matched %v", found)
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := Find(Match{Programs: m.Programs[:1], Dir: cwd}); !slices.Equal(pids(found), []int{pid}) {
		t.Errorf("by working directory: found %v, want [%d] alone", found, pid)
	}
	if found, _ := Find(Match{Programs: m.Programs, Dir: filepath.Dir(cwd), Environ: "MAIL_CONFIG=/etc"}); len(found) != 0 {
		t.Errorf("another directory and variable matched %v", found)
	}
	if found, _ := Find(Match{ControlGroup: "/"}); len(found) != 0 {
		t.Errorf("the root control group matched %v", found)
	}
}

func TestFindByOtherSigns(t *testing.T) {
	m, pid := start(t, `exec 3>"$DATA"; echo up; read wait`, "DATA="+filepath.Join(t.TempDir(), "data.mdb"))
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", pid))
	if err != nil {
		t.Fatal(err)
	}
	const name = "daemon) (x"
	for _, tt := range []struct {
		name string
		m    Match
		want bool
	}{
		{"argument", Match{Argument: "-c"}, true},
		{"argument and name", Match{Argument: "-c", Name: name}, true},
		{"argument of something else", Match{Argument: "-c", Name: "daemon"}, false},
		{"part of an argument", Match{Argument: "-"}, false},
		{"file", Match{File: link}, true},
		{"file of something else", Match{File: link, Name: "x"}, false},
		{"another file", Match{File: filepath.Dir(link)}, false},
		{"name alone", Match{Name: name}, false},
	} {
		tt.m.Programs = m.Programs
		if found, err := Find(tt.m); err != nil || slices.Contains(pids(found), pid) != tt.want {
			t.Errorf("by %s: found %v, %v; want it: %t", tt.name, found, err, tt.want)
		}
	}
	info, err := os.Stat(link)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Stat(filepath.Dir(link))
	if err != nil {
		t.Fatal(err)
	}
	p := Process{PID: pid}
	if open, err := p.HasOpen(info); !open || err != nil {
		t.Errorf("has its own file open: %t, %v", open, err)
	}
	if open, err := p.HasOpen(other); open || err != nil {
		t.Errorf("has another file open: %t, %v", open, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(Match{Programs: m.Programs, File: link}); err != nil || !slices.Contains(pids(found), pid) {
		t.Errorf("by a file that was removed: found %v, %v", found, err)
	}
}

func TestFindProgramThatWasRemoved(t *testing.T) {
	m, pid := start(t, "echo up; sleep 60 & wait", "MAIL_CONFIG=/etc/a")
	if err := os.RemoveAll(m.Programs[0]); err != nil {
		t.Fatal(err)
	}
	found, err := Find(m)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pids(found), pid) {
		t.Errorf("found %v, want %d although its program is gone", found, pid)
	}
}

func TestFindLeavesOutZombies(t *testing.T) {
	m, pid := start(t, "echo up; exit 0", "MAIL_CONFIG=/etc/a")
	// Nobody waits for it before the test ends, so it becomes a zombie.
	ended := Process{PID: pid}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _, err := parseStat(data); err == nil && state == 'Z' {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("%v never became a zombie", ended)
		}
	}
	if found, err := Find(m); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		name       string
		script     string
		grace      time.Duration
		wantKilled bool
	}{
		{"leaves when asked", "echo up; sleep 60 & wait", 10 * time.Second, false},
		{"ignores the request", "trap '' TERM; echo up; while :; do sleep 1; done", 200 * time.Millisecond, true},
		{"is suspended", "trap 'exit 0' TERM; echo up; kill -STOP $$; sleep 60", 200 * time.Millisecond, true},
		{"no grace", "trap '' TERM; echo up; while :; do sleep 1; done", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, pid := start(t, tt.script, "MAIL_CONFIG=/etc/a")
			if strings.Contains(tt.script, "-STOP") {
				untilState(t, pid, 'T')
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for tt.name == "is suspended" { // it says that it is up before it is
				found, err := Find(m)
				if err != nil || ctx.Err() != nil {
					t.Fatal(err, ctx.Err())
				}
				if slices.ContainsFunc(found, func(p Process) bool { return p.State == 'T' }) {
					break
				}
			}
			killed, err := End(ctx, tt.grace, func() ([]Process, error) { return Find(m) })
			if err != nil {
				t.Fatal(err)
			}
			if (killed > 0) != tt.wantKilled {
				t.Errorf("killed %d, want any: %v", killed, tt.wantKilled)
			}
			if found, err := Find(m); err != nil || len(found) != 0 {
				t.Errorf("%d lives: %v, %v", pid, found, err)
			}
		})
	}
}

// untilState waits until the process has the state: proc(5) stat.
func untilState(t *testing.T, pid int, want byte) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, state, _, err := parseStat(data)
		if err != nil {
			t.Fatal(err)
		}
		if state == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the state of %d is %c, want %c", pid, state, want)
		}
	}
}

// What cannot be ended in time is named, not passed over.
func TestEndSaysWhoIsAlive(t *testing.T) {
	immortal := Process{PID: os.Getpid(), Start: 1, Name: "immortal"} // another start time: it is never signalled
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := End(ctx, 10*time.Millisecond, func() ([]Process, error) { return []Process{immortal}, nil })
	if !errors.Is(err, ErrAlive) || !strings.Contains(err.Error(), "immortal[") {
		t.Errorf("got %v", err)
	}
}

func TestControlGroupIn(t *testing.T) {
	const group = "/system.slice/x.service"
	for _, tt := range []struct {
		name, file string
		want       bool
	}{
		{"version 2", "0::/system.slice/x.service\n", true},
		{"below it", "0::/system.slice/x.service/sub\n", true},
		{"systemd's own hierarchy", "12:memory:/\n1:name=systemd:/system.slice/x.service\n", true},
		{"another hierarchy", "12:memory:/system.slice/x.service\n0::/\n", false},
		{"same beginning", "0::/system.slice/x.service2\n", false},
		{"parent", "0::/system.slice\n", false},
		{"empty", "", false},
		{"no colons", "nonsense\n", false},
	} {
		if got := controlGroupIn([]byte(tt.file), group); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self)
	f.Add([]byte("1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0"))
	f.Add([]byte("1 )( S"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name, state, _, err := parseStat(data)
		if err == nil && (state == 0 || !strings.Contains(string(data), name)) {
			t.Errorf("parsed name %q, state %q", name, state)
		}
	})
}
