// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"strconv"
)

// member is a process that may belong to an instance.
type member struct {
	Process
	parent  int
	ours    bool // by a sign of its own
	program bool // it runs one of the instance's programs
	titled  bool // it has the instance's title
}

// family is what runs of an instance's programs, with whatever else is known to
// be the instance's own.
type family []member

// ours lists those that belong to the instance.
func (f family) ours() []Process {
	byPID := make(map[int]*member, len(f))
	for i := range f {
		byPID[f[i].PID] = &f[i]
	}
	for i := range f {
		parent := byPID[f[i].parent]
		orphan := parent == nil || !parent.program
		f[i].ours = f[i].ours || f[i].titled && orphan
	}
	for more := true; more; {
		more = false
		for i := range f {
			parent := byPID[f[i].parent]
			if !f[i].ours && parent != nil && parent.ours && parent.program {
				f[i].ours, more = true, true
			}
		}
	}
	var found []Process
	for _, m := range f {
		if m.ours {
			found = append(found, m.Process)
		}
	}
	return found
}

// parentOf is a process's parent: proc(5) stat field 4. That of one that is gone
// is 0.
func parentOf(dir string) int {
	data, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0
	}
	// The name may hold anything, so the fields are counted from its end.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const parentField = 4 - 3
	if len(fields) <= parentField {
		return 0
	}
	pid, err := strconv.Atoi(string(fields[parentField]))
	if err != nil {
		return 0
	}
	return pid
}
