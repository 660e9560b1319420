// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab/disk"
)

// List returns the names of all labs that have left a trace on this machine,
// up or not.
func List() ([]string, error) {
	var names []string
	for _, dir := range []string{runTop, dataTop} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && checkName(e.Name()) == nil {
				names = append(names, e.Name())
			}
		}
	}
	for _, ns := range labNetns("*") {
		if name, _, _ := strings.Cut(strings.TrimPrefix(ns, "mailha-"), "-"); checkName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Sweep removes what is left of labs whose owner is gone.
func Sweep(ctx context.Context, log io.Writer) error {
	names, err := List()
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var errs []error
	for _, name := range names {
		swept, err := sweep(ctx, name)
		if swept {
			fmt.Fprintf(log, "lab %s: swept\n", name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sweep clears one lab unless its owner is alive.
func sweep(ctx context.Context, name string) (swept bool, err error) {
	unlock, err := lockLabs(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	if s, err := loadLab(name); err == nil && s.Owner.alive() {
		return false, nil
	}
	if err := clearLab(ctx, name); err != nil {
		return false, fmt.Errorf("lab %s: sweep: %w", name, err)
	}
	return true, nil
}

// lockLabs is held by whoever takes a name or frees one.
func lockLabs(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(runTop, 0o755); err != nil {
		return nil, err
	}
	return lockFile(ctx, filepath.Join(runTop, ".lock"))
}

// clearLab removes all that belongs to a lab, going by what there is on the
// machine, not by what anybody remembers: members of its control groups, loop
// devices on its files, namespaces by name. The caller holds lockLabs.
func clearLab(ctx context.Context, lab string) error {
	if err := labCgroup(lab).clear(ctx); err != nil {
		return err
	}
	loops, err := disk.Attached(dataDir(lab))
	if err != nil {
		return err
	}
	for _, dev := range loops {
		if err := disk.Detach(ctx, dev, dataDir(lab)); err != nil {
			return err
		}
	}
	if err := unmountBelow(dataDir(lab)); err != nil {
		return err
	}
	for _, ns := range labNetns(lab) {
		if err := tool(ctx, "", "ip", "netns", "del", ns); err != nil {
			return err
		}
	}
	for _, d := range labCgroup().dirs {
		unix.Rmdir(d) // refused while there are other labs
	}
	return errors.Join(os.RemoveAll(dataDir(lab)), os.RemoveAll(runDir(lab)))
}

// unmountBelow unmounts the overlays of a lab; nothing else is mounted there.
func unmountBelow(dir string) error {
	roots, err := filepath.Glob(filepath.Join(dir, "nodes", "*", "merged"))
	if err != nil {
		return err
	}
	for _, root := range roots {
		err := unix.Unmount(root, unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: not mounted
			return fmt.Errorf("unmount %s: %w", root, err)
		}
	}
	return nil
}
