// SPDX-License-Identifier: Apache-2.0

package console_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/api/apitest"
	"github.com/mailha/mailha/internal/console"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/suite"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	time.Local = time.UTC
	os.Exit(m.Run())
}

// result is what a run of mailhactl left.
type result struct {
	code     int
	out, err string
}

func program() console.Program {
	return console.Program{Types: suite.Types(), Version: "1.2.3", Now: func() time.Time { return apitest.Now }}
}

func run(t *testing.T, c *apitest.Cluster, stdin string, args ...string) result {
	t.Helper()
	return runAs(t, program(), c, stdin, args...)
}

func runAs(t *testing.T, p console.Program, c *apitest.Cluster, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	socket := filepath.Join(t.TempDir(), "none")
	if c != nil {
		socket = c.Socket
	}
	code := p.Run(ctx, append([]string{"--socket", socket}, args...), strings.NewReader(stdin), &out, &errs)
	return result{code, strings.ReplaceAll(out.String(), socket, "SOCKET"), strings.ReplaceAll(errs.String(), socket, "SOCKET")}
}

// golden compares with a file of testdata, and holds the width.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for line := range strings.SplitSeq(got, "\n") {
		if utf8.RuneCountInString(line) > 80 && !strings.Contains(name, "json") && name != "config-show.txt" {
			t.Errorf("a line is longer than 80: %q", line)
		}
		if strings.Contains(line, "\x1b") && !strings.Contains(name, "terminal") {
			t.Errorf("not for a terminal, but: %q", line)
		}
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

// text is all that a run printed.
func (r result) text() string {
	s := r.out
	if r.err != "" {
		s += "--- standard error\n" + r.err
	}
	if r.code != 0 {
		s += "--- exit code " + string(rune('0'+r.code)) + "\n"
	}
	return s
}

// disturb has most things go wrong at once.
func disturb(_ *testing.T, c *apitest.Cluster) {
	c.Change(func(s *state.Snapshot) {
		delete(s.Nodes, "n3")
		g := s.Groups["mx"]
		g.Failures = []state.Failure{{Node: "n1", Resource: "postfix", At: apitest.Now.Add(-time.Minute)}}
		s.Groups["mx"] = g
		s.Wishes = append(s.Wishes,
			state.Wish{Kind: state.Ban, Group: "box", Node: "n1", By: "bob", Since: apitest.Now.Add(-time.Hour), Until: apitest.Now.Add(time.Hour), Why: "its disk is slow", Rev: 8},
			state.Wish{Kind: state.Stop, Resource: "postfix", By: "alice", Since: apitest.Now.Add(-time.Minute), Rev: 9})
	})
	c.Report("n1", "postfix", func(r *state.ResourceReport) {
		r.Phase, r.Since, r.Sessions, r.Work, r.Left = state.ResourceDraining, apitest.Now.Add(-12*time.Second), 3, 2, 18*time.Second
	})
	c.Report("n2", "dovecot", func(r *state.ResourceReport) {
		r.Phase, r.Since, r.Detail, r.Failures = state.ResourceFailed, apitest.Now.Add(-5*time.Minute), "unit dovecot.service failed: exit-code, with a long story of what went wrong on the way", 3
	})
}

func TestPrinted(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(*testing.T, *apitest.Cluster)
		args string
	}{
		{"status.txt", nil, "status"},
		{"status.json", nil, "status -o json"},
		{"status-bad.txt", disturb, "status --exit-code"},
		{"status-lost.txt", func(t *testing.T, c *apitest.Cluster) {
			c.Change(func(s *state.Snapshot) { delete(s.Nodes, "n1"); delete(s.Reports, "n1") })
		}, "status"},
		{"status-stale.txt", func(t *testing.T, c *apitest.Cluster) {
			c.Change(func(s *state.Snapshot) { s.Stale = context.DeadlineExceeded })
		}, "status"},
		{"status-empty.txt", func(t *testing.T, c *apitest.Cluster) {
			c.Configure(t, "")
			c.Change(func(s *state.Snapshot) { *s = state.Snapshot{Revision: s.Revision} })
		}, "status"},
		{"explain-group.txt", disturb, "explain mx"},
		{"explain-resource.txt", disturb, "explain dovecot"},
		{"explain-none.txt", nil, "explain nobody"},
		{"plan.txt", nil, "plan"},
		{"plan-bad.txt", func(t *testing.T, c *apitest.Cluster) {
			c.Change(func(s *state.Snapshot) { delete(s.Nodes, "n2") })
		}, "plan"},
		{"what-if.txt", nil, "what-if node-down n1"},
		{"what-if-witness.txt", nil, "what-if node-down n3"},
		{"events.txt", func(t *testing.T, c *apitest.Cluster) {
			c.Happen(state.Event{At: apitest.Now, Node: "n1", Group: "mx", What: "running on n1, epoch 3: first start"},
				state.Event{At: apitest.Now.Add(time.Second), By: "alice", Resource: "postfix", What: "asked for a restart of postfix"})
		}, "events"},
		{"version.txt", nil, "version"},
		{"config-show.txt", nil, "config show"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := apitest.Serve(t)
			if tt.play != nil {
				tt.play(t, c)
			}
			golden(t, tt.name, run(t, c, "", strings.Fields(tt.args)...).text())
		})
	}
}
