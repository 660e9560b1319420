// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func entries(dir string, values map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, v := range values {
		m["class/watchdog/"+dir+"/"+name] = &fstest.MapFile{Data: []byte(v + "\n")}
	}
	return m
}

func TestFind(t *testing.T) {
	sys := entries("watchdog0", map[string]string{
		"identity": "Software Watchdog", "nowayout": "0", "state": "inactive", "min_timeout": "1", "max_timeout": "65535", "options": "0x8180", "dev": "248:0",
	})
	for name, f := range entries("watchdog1", map[string]string{
		"identity": "i6300ESB timer", "nowayout": "1", "state": "active", "max_timeout": "2046", "options": "0x8180", "dev": "248:1",
	}) {
		sys[name] = f
	}
	for name, f := range entries("watchdog2", map[string]string{"identity": "card", "options": "0x80"}) {
		sys[name] = f
	}
	got, err := find(sys, "/dev")
	want := []Device{
		{Path: "/dev/watchdog1", Identity: "i6300ESB timer", NoWayOut: true, Active: true, Max: 2046 * time.Second, known: true},
		{Path: "/dev/watchdog2", Identity: "card", Stops: true, known: true},
		{Path: "/dev/watchdog0", Identity: "Software Watchdog", Min: time.Second, Max: 65535 * time.Second, known: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Device{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := find(fstest.MapFS{}, "/dev"); !errors.Is(err, ErrNoDevice) {
		t.Errorf("none: got %v", err)
	}
}

func TestLookGoesByTheNumber(t *testing.T) {
	sys := entries("watchdog0", map[string]string{"identity": "wrong", "dev": "248:0"})
	for name, f := range entries("watchdog1", map[string]string{"identity": "right", "dev": "1:3"}) {
		sys[name] = f
	}
	link := t.TempDir() + "/wd"
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	if d, err := look(sys, link); err != nil || d.Identity != "right" || d.Path != link {
		t.Errorf("got %+v, %v", d, err)
	}
	if d, err := look(fstest.MapFS{}, "/dev/null"); err != nil || d.Identity != "" {
		t.Errorf("a kernel that does not say: got %+v, %v", d, err)
	}
	if _, err := look(sys, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no device") {
		t.Errorf("a directory: got %v", err)
	}
	if _, err := look(sys, "/dev/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: got %v", err)
	}
}

func TestHoldersAreNamed(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	null, err := os.Open("/dev/full") // which nobody else has open
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var st unix.Stat_t
	if err := unix.Stat("/dev/full", &st); err != nil {
		t.Fatal(err)
	}
	found := holders("/proc", []uint64{st.Rdev})
	has := func(want Holder) bool {
		for _, h := range found {
			if h == want {
				return true
			}
		}
		return false
	}
	if !has(Holder{cmd.Process.Pid, "sleep"}) {
		t.Errorf("process %d is not among %v", cmd.Process.Pid, found)
	}
	if found, err := Holders("/dev/full"); err != nil || len(found) < 2 {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestHints(t *testing.T) {
	for h, want := range map[Holder]string{
		{1, "systemd"}: "RuntimeWatchdogSec=off", {9, "sbd"}: "Pacemaker", {9, "corosync"}: "watchdog_device: off", {9, "wd_keepalive"}: "disable --now",
	} {
		if got := hint(h); !strings.Contains(got, want) {
			t.Errorf("%v: got %q", h, got)
		}
	}
	if got := hint(Holder{9, "other"}); got != "" {
		t.Errorf("somebody else: got %q", got)
	}
}

func TestRuntimeWatchdog(t *testing.T) {
	root := fstest.MapFS{
		"etc/systemd/system.conf":                    {Data: []byte("[Manager]\n#RuntimeWatchdogSec=off\nRuntimeWatchdogSec=10\n")},
		"usr/lib/systemd/system.conf.d/20-a.conf":    {Data: []byte("[Manager]\nRuntimeWatchdogSec=30\n")},
		"etc/systemd/system.conf.d/20-a.conf":        {Data: []byte("[Manager]\nRuntimeWatchdogSec = 40\n")},
		"usr/lib/systemd/system.conf.d/10-first.con": {Data: []byte("[Manager]\nRuntimeWatchdogSec=50\n")},
	}
	if got, want := runtimeWatchdog(root), `"40" in /etc/systemd/system.conf.d/20-a.conf`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := runtimeWatchdog(fstest.MapFS{}); got != "" {
		t.Errorf("nothing is set: got %s", got)
	}
}
