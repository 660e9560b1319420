// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/mailha/mailha/agents/process"
)

// space is a mount namespace other than this one in which the device is mounted: a
// confined service's, or a container's.
type space struct {
	pid   int    // a process in it
	root  string // that process's, as its namespace has it
	users []process.Process
	owned []mount // of the device
	all   []mount
}

// spaces finds the other mount namespaces that have the device mounted. Processes of
// one namespace may see different parts of it, by their root directories.
func (t target) spaces() []space {
	self, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil
	}
	type key struct{ ns, root string }
	index := map[key]int{}
	var found []space
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		ns, err := os.Readlink(dir + "/ns/mnt")
		if err != nil || ns == self {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		k := key{ns, link(dir + "/root")}
		i, seen := index[k]
		if !seen {
			i = -1
			if all, err := mounts(filepath.Base(dir)); err == nil {
				if owned := t.owned(all, dir+"/root"); len(owned) > 0 {
					i = len(found)
					found = append(found, space{pid: pid, root: k.root, owned: owned, all: all})
				}
			}
			index[k] = i
		}
		if i < 0 {
			continue
		}
		if p, err := process.Of(pid); err == nil {
			found[i].users = append(found[i].users, p)
		}
	}
	return found
}
