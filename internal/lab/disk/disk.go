// SPDX-License-Identifier: Apache-2.0

// Package disk is the shared disk of a lab: one file with an ext4 file system
// on it, seen by each node through a loop device of its own. Multi-mount
// protection (MMP) of ext4 refuses a second mount while the first one lasts,
// as two machines on one storage array need it.
//
// It must never clear MMP while a machine that had the disk mounted may still
// write: [ClearMMP] is for the one who has proved that machine dead.
package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// Create makes the file with an empty ext4 file system of the given size in
// bytes. MMP updates come every second, so that a mount that finds the disk in
// use knows it after 11 s, the least that the kernel allows.
func Create(ctx context.Context, file string, size int64) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("shared disk: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("shared disk %s: %w", file, err)
	}
	return tool(ctx, "mkfs.ext4", "-q", "-F", "-O", "mmp", "-E", "mmp_update_interval=1,lazy_itable_init=0,lazy_journal_init=0", file)
}

// ClearMMP removes the mark of a machine that died with the disk mounted, so
// that the next mount need not wait for it. This is what preempting the SCSI
// reservation of a fenced machine does on a real array.
func ClearMMP(ctx context.Context, file string) error {
	return tool(ctx, "tune2fs", "-f", "-E", "clear_mmp", file)
}

func tool(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strconv.Quote(args[len(args)-1]), err, bytes.TrimSpace(out))
	}
	return nil
}
