// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// full says of a file system that nothing goes into it any more. Dovecot does not
// tell its clients so. They can go on reading, and make room.
func full(dir string) error {
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
