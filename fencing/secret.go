// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// readSecret reads a file of one line that only its owner, who is root or this process,
// may read. Its content is in no error.
func readSecret(file string) (string, error) {
	// A pipe in its place must not hang a fencing.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err // has the name
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", fmt.Errorf("%s is no file", file)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return "", fmt.Errorf("%s does not belong to root: chown root it", file)
	case st.Mode&0o077 != 0:
		return "", fmt.Errorf("%s may be read by others (mode %04o): chmod 0600 it", file, st.Mode&0o7777)
	}
	const most = 4096 // bytes
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, errors.Unwrap(err))
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		return "", fmt.Errorf("%s is empty", file)
	case len(data) > most || unfit(text):
		return "", fmt.Errorf("%s has to have one line, of 4096 characters at most", file)
	}
	return text, nil
}
