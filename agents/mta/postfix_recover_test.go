// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mailha/mailha/agents"
)

func newQueue(t *testing.T) agents.Facts {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"active", "pid"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return agents.Facts{DataDir: dir}
}

func exists(t *testing.T, f agents.Facts, name string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(f.DataDir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestRecover(t *testing.T) {
	p, f := NewPostfix(new(Instance)), newQueue(t)
	if did, err := p.Recover(t.Context(), f, true); err != nil || did != "" || !exists(t, f, quickStart) {
		t.Errorf("after a clean end: did %q, %v, quick start %v", did, err, exists(t, f, quickStart))
	}
	// A power cut may bring back the file that Postfix had taken away.
	for range 2 {
		if did, err := p.Recover(t.Context(), f, false); err != nil || did == "" || exists(t, f, quickStart) {
			t.Errorf("after an unclean end: did %q, %v, quick start %v", did, err, exists(t, f, quickStart))
		}
	}
}

// A queue that was restored from a copy is another one.
func TestIdentity(t *testing.T) {
	p, f := NewPostfix(new(Instance)), newQueue(t)
	before, err := p.Identity(f)
	if err != nil || before == "" {
		t.Fatal(before, err)
	}
	active := filepath.Join(f.DataDir, "active")
	if err := os.Rename(active, active+".old"); err != nil { // which keeps its inode
		t.Fatal(err)
	}
	if _, err := p.Identity(f); err == nil {
		t.Error("a queue that is not there has an identity")
	}
	if err := os.Mkdir(active, 0o700); err != nil {
		t.Fatal(err)
	}
	if after, err := p.Identity(f); err != nil || after == before {
		t.Errorf("before %q, after %q, %v", before, after, err)
	}
}
