// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/mailha/mailha/agents"
)

// A start of Postfix begins with a check of the whole queue, which takes most of
// its time, unless there is a file quick-start in the queue directory:
// postfix-script makes it itself for "postfix quick-stop". After a clean end we
// make it, but only if the queue is still the one that was left: in a queue that
// was restored from a copy files have other inodes than their names say, which
// the check has to put right.
const quickStart = "quick-start"

// MarkPath is in the queue, which goes where the queue goes, and in a directory
// of it that belongs to root.
func (*Postfix) MarkPath(f agents.Facts) string { return filepath.Join(f.DataDir, "pid", "mailha-run") }

// Identity is the inode of the active queue.
func (*Postfix) Identity(f agents.Facts) (string, error) {
	info, err := os.Stat(filepath.Join(f.DataDir, "active"))
	if err != nil {
		return "", fmt.Errorf("identify the queue: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("identify the queue: no inode numbers on this system")
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// Recover leaves the queue check to Postfix's own start, which does it unless it
// is told otherwise. A file quick-start that a power cut brought back is not
// believed.
func (*Postfix) Recover(_ context.Context, f agents.Facts, clean bool) (string, error) {
	path := filepath.Join(f.DataDir, quickStart)
	if clean {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return "", fmt.Errorf("prepare a quick start: %w", err)
		}
		return "", nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("prepare a checked start: %w", err)
	}
	return "Postfix checks its whole queue while it starts", nil
}
