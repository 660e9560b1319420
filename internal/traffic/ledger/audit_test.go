// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines writes records as the ledgers do.
func lines(t testing.TB, recs ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range recs {
		if err := json.NewEncoder(&b).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func attempt(id string, o Outcome) any { return Attempt{ID: id, Outcome: o, Hash: "hash of " + id} }

func arrival(id string) any {
	return Arrival{ID: id, Rcpts: []string{"t@sink.test"}, Hash: "hash of " + id}
}

func temp(t *testing.T) (path string, l *Ledger) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ledger")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

// attempts counts the attempts in a ledger file.
func attempts(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(bytes.NewReader(b), func(Attempt) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAudit(t *testing.T) {
	for _, tt := range []struct {
		name string
		load []any
		sink []any
		want Result
		ok   bool
	}{
		{name: "nothing", ok: true},
		{
			name: "all well, after a retry",
			load: []any{attempt("r/0", Accepted), attempt("r/1", Refused), attempt("r/1", Accepted)},
			sink: []any{arrival("r/1"), arrival("r/0")},
			want: Result{Messages: 2, Accepted: 2, Delivered: 2}, ok: true,
		},
		{
			name: "lost",
			load: []any{attempt("r/10", Accepted), attempt("r/9", Accepted), attempt("r/8", Accepted)},
			sink: []any{arrival("r/8")},
			want: Result{Messages: 3, Accepted: 3, Delivered: 1, Lost: 2, LostIDs: []string{"r/9", "r/10"}},
		},
		{
			name: "not lost, for it was never accepted",
			load: []any{attempt("r/0", Refused), attempt("r/1", Ambiguous)},
			want: Result{Messages: 2, Ambiguous: 1}, ok: true,
		},
		{
			name: "one ambiguous attempt explains one more copy",
			load: []any{attempt("r/0", Ambiguous), attempt("r/0", Accepted)},
			sink: []any{arrival("r/0"), arrival("r/0")},
			want: Result{Messages: 1, Accepted: 1, Delivered: 1, Ambiguous: 1, Duplicated: 1, Explained: 1}, ok: true,
		},
		{
			name: "but not two",
			load: []any{attempt("r/0", Ambiguous), attempt("r/0", Accepted)},
			sink: []any{arrival("r/0"), arrival("r/0"), arrival("r/0")},
			want: Result{Messages: 1, Accepted: 1, Delivered: 1, Ambiguous: 1, Duplicated: 1, Unexplained: 1, UnexplainedIDs: []string{"r/0"}}, ok: true,
		},
		{
			name: "refused attempts explain none",
			load: []any{attempt("r/0", Refused), attempt("r/0", Refused), attempt("r/0", Accepted)},
			sink: []any{arrival("r/0"), arrival("r/0")},
			want: Result{Messages: 1, Accepted: 1, Delivered: 1, Duplicated: 1, Unexplained: 1, UnexplainedIDs: []string{"r/0"}}, ok: true,
		},
		{
			name: "delivered, never confirmed",
			load: []any{attempt("r/0", Ambiguous), attempt("r/0", Refused), attempt("r/1", Ambiguous), attempt("r/1", Ambiguous)},
			sink: []any{arrival("r/0"), arrival("r/1"), arrival("r/1")},
			want: Result{Messages: 2, Ambiguous: 2, Unconfirmed: 2, Duplicated: 1, Explained: 1}, ok: true,
		},
		{
			name: "delivered though refused",
			load: []any{attempt("r/0", Refused)},
			sink: []any{arrival("r/0")},
			want: Result{Messages: 1, Stray: 1}, ok: true,
		},
		{
			name: "one of two copies corrupted",
			load: []any{attempt("r/0", Accepted)},
			sink: []any{arrival("r/0"), Arrival{ID: "r/0", Rcpts: []string{"t"}, Hash: "other"}},
			want: Result{
				Messages: 1, Accepted: 1, Delivered: 1, Corrupted: 1, Duplicated: 1, Unexplained: 1,
				CorruptedIDs: []string{"r/0"}, UnexplainedIDs: []string{"r/0"},
			},
		},
		{
			name: "bounces and other runs",
			load: []any{attempt("r/0", Accepted)},
			sink: []any{arrival(""), arrival("s/0"), arrival("r/0"), arrival("r/1")},
			want: Result{Messages: 1, Accepted: 1, Delivered: 1, Foreign: 3}, ok: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Audit(bytes.NewReader(lines(t, tt.load...)), bytes.NewReader(lines(t, tt.sink...)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.OK() != tt.ok {
				t.Errorf("OK() = %v", got.OK())
			}
		})
	}
}

func TestAuditRefusesBadLedgers(t *testing.T) {
	good := string(lines(t, attempt("r/0", Accepted)))
	for _, tt := range []struct{ name, load, sink, want string }{
		{"garbage", "x\n", "", "load ledger: line 1"},
		{"empty line", good + "\n" + good, "", "load ledger: line 2"},
		{"unknown field", `{"id":"r/0","outcome":"accepted","colour":"red"}` + "\n", "", "colour"},
		{"two values", strings.TrimSpace(good) + good, "", "more than one value"},
		{"unknown outcome", `{"id":"r/0","outcome":"maybe"}` + "\n", "", "unknown outcome"},
		{"id", `{"id":"r/00","outcome":"accepted"}` + "\n", "", "malformed message id"},
		{"accepted twice", good + good, "", "sent again after it was accepted"},
		{"two hashes", good + `{"id":"r/0","outcome":"refused","hash":"x"}` + "\n", "", "two hashes"},
		{"sink without recipients", good, `{"id":"r/0"}` + "\n", "sink ledger: line 1: no recipients"},
		{"swapped", string(lines(t, arrival("r/0"))), good, "load ledger: line 1"},
		{"endless line", strings.Repeat("x", maxRecord+1), "", "load ledger: line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Audit(strings.NewReader(tt.load), strings.NewReader(tt.sink))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestTornLedger(t *testing.T) {
	whole := lines(t, attempt("r/0", Accepted), attempt("r/1", Accepted))
	for cut := range len(whole) {
		if cut == 0 || whole[cut-1] == '\n' {
			continue
		}
		got, err := Audit(bytes.NewReader(whole[:cut]), strings.NewReader(""))
		if want := bytes.Count(whole[:cut], []byte("\n")); err != nil || got.Accepted != want || got.Torn != 1 {
			t.Fatalf("cut at %d: accepted %d, torn %d, error %v; want %d accepted of a torn ledger", cut, got.Accepted, got.Torn, err, want)
		}
	}
}

func TestLedgerGoesOnAfterTornLine(t *testing.T) {
	for _, before := range []string{"", `{"id":"r/`, string(lines(t, attempt("r/0", Refused))), string(lines(t, attempt("r/0", Refused))) + `{"id"`} {
		path, _ := temp(t)
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Append(attempt("r/1", Accepted)); err != nil {
			t.Fatal(err)
		}
		if got, want := attempts(t, path), strings.Count(before, "\n")+1; got != want {
			t.Errorf("after %q: %d records, want %d", before, got, want)
		}
	}
}

func TestOpenLedgerSparesOtherFiles(t *testing.T) {
	path, _ := temp(t)
	other := bytes.Repeat([]byte("x"), maxRecord+1)
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(path); err == nil {
		l.Close()
		t.Error("took a file without lines for a ledger")
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, other) {
		t.Errorf("the file was changed (error %v)", err)
	}
}

func FuzzReadLedger(f *testing.F) {
	f.Add(lines(f, attempt("r/0", Accepted), attempt("r/1", Ambiguous)))
	f.Add(lines(f, arrival("r/0"), arrival("")))
	f.Add([]byte("{}\n{"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reread(t, b, func(r Attempt) any { return r })
		reread(t, b, func(r Arrival) any { return r })
		if res, err := Audit(bytes.NewReader(b), bytes.NewReader(b)); err == nil {
			if res.Accepted != res.Delivered+res.Lost || res.Duplicated != res.Explained+res.Unexplained || res.Accepted > res.Messages {
				t.Errorf("numbers that don't add up: %+v", res)
			}
		}
	})
}

// reread writes what was read and wants to read the same.
func reread[T Record](t *testing.T, b []byte, _ func(T) any) {
	t.Helper()
	var first, second []T
	if _, err := Read(bytes.NewReader(b), func(r T) error { first = append(first, r); return nil }); err != nil {
		return
	}
	var again bytes.Buffer
	for _, r := range first {
		again.Write(lines(t, r))
	}
	if _, err := Read(&again, func(r T) error { second = append(second, r); return nil }); err != nil {
		t.Fatalf("what was read can't be read again: %v", err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
}
