// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mailha/mailha/agents"
)

// A start of Postfix begins with a check of the whole queue, which takes most of
// its time, unless there is a file quick-start in the queue directory:
// postfix-script makes it itself for "postfix quick-stop". After a clean end we
// make it, but only if the queue is still the one that was left: in a queue that
// was restored from a copy files have other inodes than their names say, which
// the check has to put right.
const (
	quickStart = "quick-start"
	cleanMark  = "pid/mailha-clean" // in a directory that belongs to root
)

// cleanEnd is the mark's content.
type cleanEnd struct {
	Inode uint64 `json:"inode"` // of the active queue
}

// NoteCleanEnd leaves the mark in the queue directory, which goes where the queue
// goes.
func (*postfix) NoteCleanEnd(f agents.Facts) error {
	inode, err := queueInode(f)
	if err != nil {
		return err
	}
	data, err := json.Marshal(cleanEnd{Inode: inode})
	if err != nil {
		return fmt.Errorf("note clean end: %w", err)
	}
	if err := os.WriteFile(filepath.Join(f.DataDir, cleanMark), data, 0o600); err != nil {
		return fmt.Errorf("note clean end: %w", err)
	}
	return nil
}

// UseCleanEnd turns the mark into a quick start. Whatever happens to that start,
// and be it a power cut, the mark is gone; and a file quick-start that a power
// cut brought back is not believed.
func (*postfix) UseCleanEnd(f agents.Facts) error {
	if err := os.Remove(filepath.Join(f.DataDir, quickStart)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare a checked start: %w", err)
	}
	path := filepath.Join(f.DataDir, cleanMark)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a clean end: %w", err)
	}
	if err := errors.Join(os.Remove(path), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("use clean end: %w", err)
	}
	var mark cleanEnd
	if json.Unmarshal(data, &mark) != nil {
		return nil // torn: the check will look
	}
	if inode, err := queueInode(f); err != nil || inode != mark.Inode {
		return nil
	}
	if err := os.WriteFile(filepath.Join(f.DataDir, quickStart), nil, 0o600); err != nil {
		return fmt.Errorf("use clean end: %w", err)
	}
	return nil
}

func queueInode(f agents.Facts) (uint64, error) {
	info, err := os.Stat(filepath.Join(f.DataDir, "active"))
	if err != nil {
		return 0, fmt.Errorf("identify the queue: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("identify the queue: no inode numbers on this system")
	}
	return st.Ino, nil
}

// syncDir makes a removal last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
