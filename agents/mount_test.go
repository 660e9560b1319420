// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inside runs f in a mount namespace of its own.
func inside(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with its namespace
		err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestMount(t *testing.T) {
	const tmpfs = "tmpfs"
	touch := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	for _, tt := range []struct {
		name    string
		root    bool
		arrange func(dir string) error
		want    string // in the error; empty: none
	}{
		{"mounted and marked", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), touch(dir+"/m"))
		}, ""},
		{"not mounted", false, func(string) error { return nil }, "is missing"},
		{"not marked", false, func(dir string) error { return unix.Mount("none", dir, tmpfs, 0, "") }, "is missing"},
		{"marked below the mount point", false, func(dir string) error { return touch(dir + "/m") }, "root file system"},
		{"on the root file system, as it should be", true, func(dir string) error { return touch(dir + "/m") }, ""},
		{"unmounted", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), touch(dir+"/m"), unix.Unmount(dir, unix.MNT_DETACH))
		}, "is missing"},
		{"read-only", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), touch(dir+"/m"), unix.Mount("none", dir, tmpfs, unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}, "read-only"},
		{"another file system on the marker", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), touch(dir+"/m"), unix.Mount(dir+"/m", dir+"/m", "", unix.MS_BIND, ""))
		}, "not on the same"},
		{"the marker is a link", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), os.Symlink("/etc/passwd", dir+"/m"))
		}, "no plain file"},
		{"the marker is a directory", false, func(dir string) error {
			return errors.Join(unix.Mount("none", dir, tmpfs, 0, ""), os.Mkdir(dir+"/m", 0o700))
		}, "no plain file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got error
			inside(t, func() error {
				// Whatever this test itself runs on, the directory is on the root file system.
				dir, err := os.MkdirTemp("/", ".mailha-mount-")
				if err != nil {
					return err
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				if err := tt.arrange(dir); err != nil {
					return err
				}
				got = Mount{Dir: dir, Marker: filepath.Join(dir, "m"), Root: tt.root}.check()
				return nil
			})
			if tt.want == "" && got != nil || tt.want != "" && (got == nil || !strings.Contains(got.Error(), tt.want)) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

func TestMountWithoutMarker(t *testing.T) {
	if err := (Mount{Dir: "/no/such/directory"}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMountWithoutTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either may come first; what must not happen is that it is well.
	if err := (Mount{Dir: "/", Marker: "/no/such/file"}).Check(ctx); err == nil {
		t.Error("well without a marker")
	}
}

// A start needs the file system, and a monitor notices that it has gone.
func TestLifecycleWithMount(t *testing.T) {
	s, units, steps := newDouble(t)
	dir := t.TempDir()
	marker := filepath.Join(dir, "m")
	steps.facts.Mount = Mount{Dir: dir, Marker: marker, Root: true}
	permit := filepath.Join(s.env.StateDir, Permits, "x.service")

	if err := s.Start(t.Context()); !errors.Is(err, ErrInstalled) || units.active == "active" {
		t.Errorf("without a marker: %v, unit %q", err, units.active)
	}
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(permit); err != nil || target != marker {
		t.Errorf("permit %q, %v", target, err)
	}
	if err := s.Monitor(t.Context(), DepthShallow); err != nil {
		t.Error(err)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if err := s.Monitor(t.Context(), DepthShallow); err == nil || errors.Is(err, ErrNotRunning) {
		t.Errorf("without its data: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stopped, without its data: %v", err)
	}
	if _, err := os.Lstat(permit); !os.IsNotExist(err) {
		t.Errorf("a stop left the permit: %v", err)
	}
}

// A service without such data gets a permit, too, and replaces any other.
func TestPermit(t *testing.T) {
	s, _, _ := newDouble(t)
	path := filepath.Join(s.env.StateDir, Permits, "x.service")
	for range 2 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(path); err != nil || target != "/" {
			t.Errorf("permit %q, %v", target, err)
		}
	}
	if err := s.permit(Facts{Unit: "x.service", Mount: Mount{Marker: "/srv/m"}}); err != nil {
		t.Fatal(err)
	}
	if target, _ := os.Readlink(path); target != "/srv/m" {
		t.Errorf("permit %q", target)
	}
	if err := s.permit(Facts{Unit: "y.service"}); err != nil {
		t.Fatal(err)
	}
	s.forbid(Facts{Unit: "x.service"})
	s.forbid(Facts{})
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "y.service")); err != nil {
		t.Errorf("that of another one: %v", err)
	}
}
