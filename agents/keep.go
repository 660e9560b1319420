// SPDX-License-Identifier: Apache-2.0

package agents

import "path/filepath"

// What an agent that has no service keeps below its state directory, which a boot
// empties.

// NotePath is where a start of this instance leaves word for the calls that follow.
func (e Env) NotePath() string { return filepath.Join(e.StateDir, e.FileName()+".mount") }

// FileName is the instance's name as a single word of letters, digits and "%-_".
func (e Env) FileName() string { return fileName(e.Instance) }

// WriteNote replaces a file in one step, with its directory. Only root may read it.
// It is not synced: after a crash of the machine it must be gone anyhow.
func WriteNote(path string, data []byte) error { return replaceFile(path, data) }

// Show tells people what is being done with the resource. It does not hinder what it
// shows: a failure is only logged.
func (e Env) Show(description Text, st Status) {
	board{e}.show(record{}, description, st, e.Logger())
}
