// SPDX-License-Identifier: Apache-2.0

package enrol_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/enrol"
)

// The newer one of the two counts: the copy after the cluster was configured anew, and
// the file after an operator has edited it.
func TestLatestApplied(t *testing.T) {
	dir := t.TempDir()
	file, copied := filepath.Join(dir, "mailha.toml"), filepath.Join(dir, "applied.toml")
	latest := func(want string) {
		t.Helper()
		if got, err := enrol.LatestApplied(file, copied); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := enrol.LatestApplied(file, copied); err == nil {
		t.Error("there is no file")
	}
	if err := os.WriteFile(file, []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	latest("")
	if err := enrol.KeepApplied(copied, "copy"); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, past, past); err != nil {
		t.Fatal(err)
	}
	latest("copy")
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Chtimes(copied, past.Add(-time.Hour), past.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	latest("")
	if err := enrol.KeepApplied(filepath.Join(dir, "none", "applied.toml"), "copy"); err == nil {
		t.Error("it was kept nowhere")
	}
}
