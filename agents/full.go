// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Full says of the file system of a directory that nothing goes into it any more, which
// servers do not tell clients that only read: below 1 MiB free for ordinary users, or no
// inodes (statfs(2)). It returns nil for a directory that cannot be looked at.
func Full(dir string) error {
	const enough = 1 << 20 // bytes
	var st unix.Statfs_t
	switch err := unix.Statfs(dir, &st); {
	case err != nil:
		return nil // whether it is there was asked before
	case st.Bavail*uint64(st.Bsize) < enough:
		return fmt.Errorf("the file system of %s is full", dir)
	case st.Files > 0 && st.Ffree == 0:
		return fmt.Errorf("the file system of %s has no inodes left", dir)
	}
	return nil
}
