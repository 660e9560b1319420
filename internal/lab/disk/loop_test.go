// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestLoop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("loop devices need root: run the tests with sudo, or in a throw-away virtual machine")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "disk")
	if err := Create(t.Context(), file, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), file, 32<<20); err == nil {
		t.Error("a disk was made over another")
	}
	if err := ClearMMP(t.Context(), file); err != nil {
		t.Error(err)
	}
	if err := ClearMMP(t.Context(), file+"x"); err == nil {
		t.Error("no such file: no error")
	}
	if _, err := Attach(file + "x"); err == nil {
		t.Error("no such file: no error")
	}
	var devs []string
	t.Cleanup(func() {
		for _, d := range devs {
			if err := Detach(context.Background(), d, dir); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		d, err := Attach(file)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(devs, d) {
			t.Fatalf("%s twice", d)
		}
		devs = append(devs, d)
	}
	got, err := Attached(dir)
	if slices.Sort(devs); err != nil || len(got) != 3 {
		t.Errorf("got %q, %v; want %q", got, err, devs)
	}
	if mounted, err := CutPower(devs[0], []int{os.Getpid(), 1 << 30}); mounted || err != nil {
		t.Errorf("not mounted: got %v, %v", mounted, err)
	}
	// A device of somebody else's is left alone.
	if err := Detach(t.Context(), devs[0], t.TempDir()); err != nil || !bound(devs[0], dir) {
		t.Errorf("detached in spite of its file's place, or %v", err)
	}
	// A device in use is not said to be detached.
	hold, err := os.Open(devs[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := Detach(ctx, devs[0], dir); err == nil {
		t.Error("in use, yet detached")
	}
	hold.Close()
}
