// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

// target is what to look for, by the note of the start, by what mount(8) keeps, and by
// the parameters, as far as each is there. A note that cannot be read is an error only
// if nothing else tells the device.
func (a *Agent) target(ctx context.Context) (target, error) {
	var t target
	n, found, noteErr := loadNote(a.env.NotePath())
	if noteErr != nil {
		a.log.Warn("cannot read what the start noted", "error", noteErr)
	}
	if !found {
		n, found = a.labelled()
	}
	// What is mounted counts for more than what should be.
	if found {
		t.path, t.dir, t.files = n.device, n.dir, n.files
		t.know(n.number)
	}
	if t.path == "" && a.Device != "" {
		t.path = a.Device.path()
	}
	if t.dir == "" && a.Directory != "" {
		const patience = 2 * time.Second // what is above may hang
		brief, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		dir, err := boundedDir(brief, string(a.Directory))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			a.log.Warn("cannot resolve the mount point", "error", err)
		}
		t.dir = dir
	}
	if t.path != "" {
		if number, err := blockNumber(t.path); err == nil {
			t.know(number)
		}
	}
	if t.path == "" && noteErr != nil {
		return t, noteErr
	}
	return t, nil
}

// labelled is what mount(8) knows to be ours, as long as it is mounted.
func (a *Agent) labelled() (note, bool) {
	data, err := os.ReadFile(utab)
	if err != nil {
		return note{}, false
	}
	n, found := labelled(string(data), a.env.FileName())
	if !found {
		return note{}, false
	}
	all, err := mounts("self")
	if err != nil {
		return note{}, false
	}
	return n, slices.ContainsFunc(all, func(m mount) bool { return m.point == n.dir && m.source == n.device })
}

// boundedDir is realDir, or the directory as it is named if there is no answer.
func boundedDir(ctx context.Context, dir string) (string, error) {
	type answer struct {
		dir string
		err error
	}
	found := make(chan answer, 1)
	go func() {
		real, err := realDir(dir)
		found <- answer{real, err}
	}()
	select {
	case a := <-found:
		return a.dir, a.err
	case <-ctx.Done():
		return dir, ctx.Err()
	}
}
