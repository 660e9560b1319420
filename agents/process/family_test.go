// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestFamily(t *testing.T) {
	const none = 1 // a parent that is not in the list
	p := func(pid, parent int, signs string) member {
		return member{
			Process: Process{PID: pid}, parent: parent,
			ours: signs == "ours" || signs == "group", program: signs != "group", titled: signs == "titled",
		}
	}
	for _, tt := range []struct {
		name string
		f    family
		want []int
	}{
		{"nobody", nil, nil},
		{"children and theirs, in any order", family{p(30, 20, ""), p(20, 10, ""), p(10, none, "ours"), p(11, none, "")}, []int{10, 20, 30}},
		{"another instance's children", family{p(10, none, "ours"), p(40, none, ""), p(41, 40, "titled")}, []int{10}},
		{"orphans by their title", family{p(41, none, "titled"), p(42, none, "")}, []int{41}},
		{"an orphan's children", family{p(41, none, "titled"), p(42, 41, "")}, []int{41, 42}},
		{"what a stranger in the control group has started", family{p(50, none, "group"), p(51, 50, "")}, []int{50}},
		{"titled, below a stranger in the control group", family{p(50, none, "group"), p(51, 50, "titled")}, []int{50, 51}},
		{"each other's parents", family{p(60, 61, ""), p(61, 60, "")}, nil},
	} {
		found := pids(tt.f.ours())
		slices.Sort(found)
		if !slices.Equal(found, tt.want) {
			t.Errorf("%s: found %v, want %v", tt.name, found, tt.want)
		}
	}
}

// Children of a parent that is gone are known by their title, and those of a
// parent that lives by the parent.
func TestFindFamily(t *testing.T) {
	const child = `exec 3<&0; "$0" -c "echo up; read wait <&3" & read wait`
	m, parent := start(t, child, "MAIL_CONFIG=/etc/a")
	program := filepath.Join(m.Programs[0], "daemon) (x")
	m.Programs = []string{program}
	found, err := Find(m)
	if err != nil || len(found) != 2 || found[0].PID != parent {
		t.Errorf("found %v, %v; want %d and its child", found, err, parent)
	}

	// This test runs none of the programs, so its own children are orphans.
	orphan := exec.Command(program)
	orphan.Args = []string{"store/imap", "-c", "echo up; read wait"}
	out, err := orphan.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orphan.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = orphan.Process.Kill()
		_ = orphan.Wait()
	}()
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatal(err)
	}
	for title, want := range map[string]bool{"store/": true, "stor": true, "": false, "tore/": false, "store2/": false} {
		found, err := Find(Match{Programs: m.Programs, Title: title})
		if err != nil || slices.Contains(pids(found), orphan.Process.Pid) != want {
			t.Errorf("title %q: found %v, %v", title, found, err)
		}
	}
}

func TestParentOf(t *testing.T) {
	if got := parentOf("/proc/self"); got != os.Getppid() {
		t.Errorf("got %d, want %d", got, os.Getppid())
	}
	if got := parentOf("/proc/no-such-process"); got != 0 {
		t.Errorf("of a process that is gone: %d", got)
	}
}
