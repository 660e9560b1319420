// SPDX-License-Identifier: Apache-2.0

// Package labtest gives tests a lab that goes when they end, and shows the
// nodes' journals when they fail.
//
// It must never skip a test: where a lab can't be made, the test fails and says
// why.
package labtest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// A failed test keeps so much of each node's journal, and shows the end of it: more would
// bury what the test itself has to say.
const journalLines, shownLines = 20000, 15

// Up makes a lab for the test and its subtests, or ends the test. Config's
// Name may be left empty; Log goes to the test's log if it is nil.
func Up(tb testing.TB, cfg lab.Config) *lab.Lab {
	tb.Helper()
	if cfg.Name == "" { // unlike that of any other test that runs now
		cfg.Name = fmt.Sprintf("t%dx%06x", os.Getpid(), rand.N(1<<24))
	}
	if cfg.Log == nil {
		cfg.Log = logWriter{tb}
	}
	l, err := lab.Up(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("no lab for this test: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			ShowJournals(tb, l)
		}
		if err := l.Down(); err != nil {
			tb.Errorf("the lab is not gone, try \"lab sweep\": %v", err)
		}
	})
	return l
}

// ShowJournals leaves the nodes' journals in the test's directory of artifacts (kept with
// go test -artifacts), and logs the last lines of each.
func ShowJournals(tb testing.TB, l *lab.Lab) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir := tb.ArtifactDir()
	for _, n := range l.Nodes() {
		out, err := n.Journal(ctx, journalLines)
		if err != nil {
			tb.Logf("%s: %v", n.Name(), err)
		}
		file := filepath.Join(dir, n.Name()+".journal")
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			tb.Log(err)
		}
		tb.Logf("the end of the journal of %s, which is in %s:\n%s", n.Name(), file, tail(out, shownLines))
	}
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

type logWriter struct{ tb testing.TB }

var _ io.Writer = logWriter{}

func (w logWriter) Write(p []byte) (int, error) {
	w.tb.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
