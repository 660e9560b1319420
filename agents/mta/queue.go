// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
)

// queue is what can be seen of a queue without asking the MTA.
type queue struct {
	Messages int       // that wait to be delivered, those on hold left out
	Due      time.Time // when it was the turn of the one that waits longest for the MTA itself; zero: none waits
	DueID    string    // its queue ID
	Broken   []string  // what the MTA has put aside, being unable to read it
}

// limits are what a queue is held against. Zero: no limit.
type limits struct {
	age    agents.Duration
	length agents.Number
}

func newLimits() limits { return limits{age: agents.Duration(time.Hour), length: 10_000} }

func (l *limits) params() agents.Table {
	return agents.Table{
		{Name: "queue_age", Value: &l.age, Reloadable: true,
			Short: "Longest time that a message may wait for the MTA before it is degraded",
			Long:  "Looked at by monitors at depth 10. A message waits for the MTA from when it was accepted, or when its next attempt is due, until it is tried. One that other hosts do not take, and that is tried as often as it should be, does not count. 0 means that it does not matter."},
		{Name: "queue_length", Value: &l.length, Reloadable: true,
			Short: "Most messages in the queue before the MTA is degraded",
			Long:  "Looked at by monitors at depth 10. Messages on hold do not count. 0 means that it does not matter; of the first 10000 messages it is seen then how long they wait."},
	}
}

// most is how many messages have to be looked at.
func (l limits) most() int {
	const enough = 10_000
	if l.length == 0 {
		return enough
	}
	return int(l.length) + 1
}

// judge says what is wrong with a queue.
func (l limits) judge(q queue, now time.Time) error {
	var errs []error
	if len(q.Broken) > 0 {
		errs = append(errs, fmt.Errorf("%d message files that the MTA cannot read, such as %s", len(q.Broken), q.Broken[0]))
	}
	if late := now.Sub(q.Due).Round(time.Second); !q.Due.IsZero() && l.age > 0 && late > time.Duration(l.age) {
		errs = append(errs, fmt.Errorf("message %s should have been tried %s ago", q.DueID, late))
	}
	if l.length > 0 && q.Messages > int(l.length) {
		errs = append(errs, fmt.Errorf("more than %d messages in the queue", l.length))
	}
	return errors.Join(errs...)
}

// storage sees that mail can be written below dir: not only by root, for whom a
// file system keeps a reserve. It makes a file in scratch, a directory below
// dir, for a moment.
func storage(dir, scratch string) error {
	f, err := os.CreateTemp(filepath.Join(dir, scratch), ".mailha-check-*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the queue is not in %s: %w; is its file system mounted?", dir, err)
	}
	if err != nil {
		return fmt.Errorf("the queue cannot be written to: %w", err)
	}
	_, err = f.WriteString("x")
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("the queue cannot be written to: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("the queue's file system: %w", err)
	}
	const least = 1 << 20 // bytes; the last ones come and go
	switch {
	case st.Blocks > 0 && st.Bavail*uint64(st.Bsize) < least:
		return fmt.Errorf("the file system of %s is full", dir)
	case st.Files > 0 && st.Ffree == 0:
		return fmt.Errorf("the file system of %s has no inodes left", dir)
	}
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// walk calls see for the files below dir, in no order, until it returns errEnough
// or another error. What vanishes meanwhile is left out: a queue never rests.
func walk(ctx context.Context, dir string, see func(path string, info fs.FileInfo) error) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the queue: %w", err)
	}
	defer d.Close()
	for {
		const some = 256 // a directory may have a million
		entries, err := d.ReadDir(some)
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("look at the queue: %w", err)
			}
			path := filepath.Join(dir, entry.Name())
			if entry.IsDir() {
				if err := walk(ctx, path, see); err != nil {
					return err
				}
				continue
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("look at the queue: %w", err)
			}
			if err := see(path, info); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
	}
}

// contains returns nil if the text is in the file's first part.
func contains(path, text string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	const most = 64 << 10 // far more than a test message
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(text)) {
		return fmt.Errorf("%s is another message", path)
	}
	return nil
}
