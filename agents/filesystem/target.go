// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"os"
)

// target is what to look for, by the note of the start, by what mount(8) keeps, and by
// the parameters, as far as each is there. A note that cannot be read is an error only
// if nothing else tells the device.
func (a *Agent) target() (target, error) {
	var t target
	n, found, noteErr := loadNote(a.env.NotePath())
	if noteErr != nil {
		a.log.Warn("cannot read what the start noted", "error", noteErr)
	}
	if !found {
		if data, err := os.ReadFile(utab); err == nil {
			n, found = labelled(string(data), a.env.FileName())
		}
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
		dir, err := realDir(string(a.Directory))
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
