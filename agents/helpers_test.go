// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"path/filepath"
	"testing"
)

// programDir is the directory that /proc/PID/exe will show for a program.
func programDir(t *testing.T, path string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(real)
}
