// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
)

// put makes a file of a queue, due so long ago.
func put(t *testing.T, f agents.Facts, path string, ago time.Duration) {
	t.Helper()
	path = filepath.Join(f.DataDir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Message-ID: <token@monitor.invalid>"), 0o700); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(-ago)
	if err := os.Chtimes(path, due, due); err != nil {
		t.Fatal(err)
	}
}

// rewrite gives a file another text, and keeps its time.
func rewrite(t *testing.T, path, text string, ago time.Duration) {
	t.Helper()
	due := time.Now().Add(-ago)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o700), os.Chtimes(path, due, due)); err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	f := agents.Facts{DataDir: t.TempDir()}
	p := NewPostfix(new(Instance))
	if q, err := p.Look(t.Context(), f, 10); err != nil || q.Messages != 0 || !q.Due.IsZero() {
		t.Errorf("no directories: %+v, %v", q, err)
	}
	put(t, f, "active/A", 2*time.Minute)
	put(t, f, "incoming/B", time.Minute)
	put(t, f, "maildrop/C", 5*time.Minute)
	put(t, f, "deferred/D/D", -time.Hour)
	put(t, f, "deferred/E/E/E", 7*time.Minute)
	put(t, f, "hold/F", time.Hour)
	put(t, f, "corrupt/G", time.Hour)
	put(t, f, "defer/D/D", time.Hour)
	q, err := p.Look(t.Context(), f, 100)
	if err != nil || q.Messages != 5 || q.DueID != "E" || len(q.Broken) != 1 || filepath.Base(q.Broken[0]) != "G" {
		t.Errorf("%+v, %v", q, err)
	}
	for i := range 600 {
		put(t, f, fmt.Sprintf("deferred/0/x%d", i), 0)
		put(t, f, fmt.Sprintf("corrupt/x%d", i), 0)
	}
	if q, err := p.Look(t.Context(), f, 300); err != nil || q.Messages != 300 || len(q.Broken) != 300 {
		t.Errorf("more than so many: %d, %d, %v", q.Messages, len(q.Broken), err)
	}
	if q, err := p.Look(t.Context(), f, 10000); err != nil || q.Messages != 605 {
		t.Errorf("all: %d, %v", q.Messages, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Look(ended, f, 300); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

func TestJudge(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		limits limits
		queue  queue
		want   string // empty: no error
	}{
		{"empty", newLimits(), queue{}, ""},
		{"not due yet", newLimits(), queue{Messages: 1, Due: now.Add(time.Hour), DueID: "A"}, ""},
		{"due for long", newLimits(), queue{Messages: 1, Due: now.Add(-61 * time.Minute), DueID: "A"}, "message A should have been tried 1h1m0s ago"},
		{"due for longer than any span", newLimits(), queue{Messages: 1, Due: time.Unix(1, 0), DueID: "A"}, "message A"},
		{"due for long, and that is fine", limits{}, queue{Messages: 1, Due: now.Add(-24 * time.Hour), DueID: "A"}, ""},
		{"as many as may be", limits{length: 3}, queue{Messages: 3}, ""},
		{"too many", limits{length: 3}, queue{Messages: 4}, "more than 3 messages"},
		{"many, and that is fine", limits{}, queue{Messages: 1 << 20}, ""},
		{"broken", limits{}, queue{Broken: []string{"/q/corrupt/A", "/q/corrupt/B"}}, "2 message files that the MTA cannot read, such as /q/corrupt/A"},
	} {
		err := tt.limits.judge(tt.queue, now)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want %q, got %v", tt.name, tt.want, err)
		}
	}
	if most := (limits{length: 3}).most(); most <= 3 {
		t.Errorf("looking at %d does not show more than 3", most)
	}
	if most := (limits{}).most(); most < 1000 || most > 100_000 {
		t.Errorf("looking at %d is too little or too much", most)
	}
}

func TestStorage(t *testing.T) {
	dir := t.TempDir()
	if err := storage(dir, "pid"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pid"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := storage(dir, "pid"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "pid")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Nothing but the message itself is ever withdrawn: the file of an ID may be
// another's by now.
func TestWithdrawAnother(t *testing.T) {
	f := agents.Facts{DataDir: t.TempDir()}
	put(t, f, "active/X", 0)
	put(t, f, "deferred/A/ABC", 0)
	p := NewPostfix(new(Instance))
	p.Binary = "/nonexistent/postfix"
	if err := p.Withdraw(t.Context(), f, "ABC", "another@monitor.invalid"); err == nil || !strings.Contains(err.Error(), "another message") {
		t.Errorf("another message: %v", err)
	}
	if err := p.Withdraw(t.Context(), f, "GONE", "token@monitor.invalid"); err != nil {
		t.Errorf("a message that is gone: %v", err)
	}
	if err := p.Withdraw(t.Context(), f, "ABC", "token@monitor.invalid"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the message, without postsuper: %v", err)
	}
}

func FuzzQueueID(f *testing.F) {
	f.Add("2.0.0 Ok: queued as 4Zx1yT0gqHz9sK")
	f.Add("queued as ../../etc")
	f.Add("OK id=1xUw2T-0000YZ-0e")
	f.Add("OK id=..-*-?")
	f.Fuzz(func(t *testing.T, reply string) {
		for _, b := range []Backend{new(Postfix), new(Exim)} {
			if id := b.QueueID(reply); strings.ContainsAny(id, "/.*?[\x00") {
				t.Errorf("%q gave %q", reply, id)
			}
		}
	})
}
