// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is how a service that keeps data on a file system of their own knows that
// this file system is there, and that it does not see the empty directory below.
type Mount struct {
	Dir    string `json:"dir,omitempty"`    // holds the data
	Marker string `json:"marker,omitempty"` // a file on the same file system; empty: there is nothing to look for
	Root   bool   `json:"root,omitempty"`   // the data may be on the node's root file system
}

// Check returns nil if the file system is mounted and can be written to. It looks
// for no longer than two seconds: a file system that hangs is not there.
func (m Mount) Check(ctx context.Context) error {
	if m.Marker == "" {
		return nil
	}
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := make(chan error, 1)
	go func() { found <- m.check() }()
	select {
	case err := <-found:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the file system of %s does not answer", m.Dir)
	}
}

func (m Mount) check() error {
	info, err := os.Lstat(m.Marker)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: the file system of %s is not mounted here, or was never marked (mount it, then: touch %s)", m.Marker, m.Dir, m.Marker)
	}
	if err != nil {
		return fmt.Errorf("look for the marker: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file, and marks nothing", m.Marker)
	}
	var mounts [3]mountID
	for i, path := range []string{m.Dir, m.Marker, "/"} {
		if mounts[i], err = mountOf(path); err != nil {
			return err
		}
	}
	dir, marker, root := mounts[0], mounts[1], mounts[2]
	switch {
	case marker != dir:
		return fmt.Errorf("%s is not on the same file system as %s, so it does not show that this one is mounted", m.Marker, m.Dir)
	case dir == root && !m.Root:
		return fmt.Errorf("%s is on the node's root file system although %s is there: is the marker in the directory below the mount point?", m.Dir, m.Marker)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(m.Dir, &st); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", m.Dir, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("the file system of %s is mounted read-only", m.Dir)
	}
	return nil
}

// mountID tells mounts apart. Devices alone do not: files and directories of an
// overlay have different ones.
type mountID struct{ id, device uint64 }

// mountOf is the mount that a path is on: statx(2). Kernels before Linux 5.8 know
// the device only.
func mountOf(path string) (mountID, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st); err != nil {
		return mountID{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		return mountID{id: st.Mnt_id}, nil
	}
	return mountID{device: unix.Mkdev(st.Dev_major, st.Dev_minor)}, nil
}
