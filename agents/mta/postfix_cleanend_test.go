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

func TestCleanEndMakesOneQuickStart(t *testing.T) {
	p, f := newPostfix(), newQueue(t)
	if err := p.UseCleanEnd(f); err != nil || exists(t, f, quickStart) {
		t.Fatalf("without a clean end: %v, quick start %v", err, exists(t, f, quickStart))
	}
	if err := p.NoteCleanEnd(f); err != nil {
		t.Fatal(err)
	}
	if err := p.UseCleanEnd(f); err != nil || !exists(t, f, quickStart) || exists(t, f, cleanMark) {
		t.Fatalf("after a clean end: %v", err)
	}
	// Postfix takes the file away when it starts.
	if err := os.Remove(filepath.Join(f.DataDir, quickStart)); err != nil {
		t.Fatal(err)
	}
	if err := p.UseCleanEnd(f); err != nil || exists(t, f, quickStart) {
		t.Errorf("one clean end made two quick starts: %v", err)
	}
	// A power cut may undo that.
	if err := os.WriteFile(filepath.Join(f.DataDir, quickStart), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.UseCleanEnd(f); err != nil || exists(t, f, quickStart) {
		t.Errorf("a quick start that came back was believed: %v", err)
	}
}

func TestCleanEndIsNotBelieved(t *testing.T) {
	for name, spoil := range map[string]func(f agents.Facts) error{
		"torn": func(f agents.Facts) error {
			return os.WriteFile(filepath.Join(f.DataDir, cleanMark), []byte(`{"ino`), 0o600)
		},
		"empty": func(f agents.Facts) error {
			return os.WriteFile(filepath.Join(f.DataDir, cleanMark), nil, 0o600)
		},
		"of another queue": func(f agents.Facts) error {
			active := filepath.Join(f.DataDir, "active")
			if err := os.Rename(active, active+".old"); err != nil {
				return err
			}
			return os.Mkdir(active, 0o700) // the old one keeps its inode
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, f := newPostfix(), newQueue(t)
			if err := p.NoteCleanEnd(f); err != nil {
				t.Fatal(err)
			}
			if err := spoil(f); err != nil {
				t.Fatal(err)
			}
			if err := p.UseCleanEnd(f); err != nil {
				t.Fatal(err)
			}
			if exists(t, f, quickStart) || exists(t, f, cleanMark) {
				t.Errorf("quick start %v, mark %v, want neither", exists(t, f, quickStart), exists(t, f, cleanMark))
			}
		})
	}
}
