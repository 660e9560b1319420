// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree is a tree of control groups as the kernel shows it, but for what it does: here
// each group says of itself what it was made with. The real one is frozen in a virtual
// machine (TestMachineFencedThroughEtcd of internal/labtests).
func tree(t *testing.T, own string, groups map[string]string) Machine {
	t.Helper()
	m := Machine{cgroups: t.TempDir(), proc: t.TempDir()}
	write := func(file, text string) {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(m.proc, "self/cgroup"), "0::/"+own+"\n")
	write(filepath.Join(m.cgroups, "cgroup.procs"), "2\n")
	for name, events := range groups {
		write(filepath.Join(m.cgroups, name, "cgroup.events"), events)
		write(filepath.Join(m.cgroups, name, "cgroup.freeze"), "0")
	}
	return m
}

const (
	still = "populated 1\nfrozen 1\n"
	runs  = "populated 1\nfrozen 0\n"
	empty = "populated 0\nfrozen 0\n"
	self  = "system.slice/mailha-fenced.service"
)

func TestStill(t *testing.T) {
	m := tree(t, self, map[string]string{
		"init.scope": still, "user.slice": still, "system.slice": runs, "system.slice/postfix.service": still,
		"system.slice/old.service": empty, self: runs,
	})
	if err := m.Still(t.Context()); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"init.scope": "1", "user.slice": "1", "system.slice/postfix.service": "1", "system.slice": "0", self: "0"} {
		got, err := os.ReadFile(filepath.Join(m.cgroups, name, "cgroup.freeze"))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestNotStill(t *testing.T) {
	hangs := tree(t, self, map[string]string{"system.slice/postfix.service": runs, self: runs})
	rootless := tree(t, self, map[string]string{self: runs})
	// A program in the root of the tree: this one.
	if err := os.WriteFile(filepath.Join(rootless.cgroups, "cgroup.procs"), []byte("77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(rootless.proc, "77"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/sbin/master", filepath.Join(rootless.proc, "77/exe")); err != nil {
		t.Fatal(err)
	}
	nowhere := tree(t, self, nil)
	if err := os.WriteFile(filepath.Join(nowhere.proc, "self/cgroup"), []byte("1:name=systemd:/x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		m    Machine
		want string
	}{
		"a process hangs":       {hangs, "postfix.service is not frozen"},
		"a program in the root": {rootless, "/usr/sbin/master"},
		"no group of its own":   {nowhere, "as a unit"},
		"in the root itself":    {tree(t, "", nil), "as a unit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := tt.m.Still(ctx); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}
