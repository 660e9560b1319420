// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/ocf"
	"github.com/mailha/mailha/internal/suite"
)

// committed is where the pages are in the source tree.
const committed = "../../man"

// read returns the files of a directory by name.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func TestCommittedPagesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(committed)); err != nil {
		t.Fatal(err)
	}
	if err := Update(dir, suite.Types(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read(t, committed), read(t, dir)); diff != "" {
		t.Errorf("the pages in man/ are not those that the tables make now: run make man (-there +wanted)\n%s", diff)
	}
}

func TestPagesAreCleanMdoc(t *testing.T) {
	pages := read(t, committed)
	if len(pages) <= len(suite.Types()) {
		t.Errorf("%d pages for %d agents and their program", len(pages), len(suite.Types()))
	}
	for file, page := range pages {
		if out, err := mandoc(t, page, "-T", "lint", "-W", "warning"); err != nil {
			t.Errorf("man/%s: %v\n%s", file, err, out)
		}
	}
}

// The page of the program is written by hand.
func TestProgramRefersToEveryAgent(t *testing.T) {
	const file = "mailha-ocf.8"
	for _, typ := range suite.Types() {
		if ref := ".Xr " + pageName(typ) + " 7 ,"; !strings.Contains(read(t, committed)[file], ref) {
			t.Errorf("man/%s lacks %q", file, ref)
		}
	}
}

// A reader of the page sees every word that the tables have.
func TestPageHasEverything(t *testing.T) {
	for _, typ := range suite.Types() {
		wanted := strings.Split(typ.Long, "\n\n")
		wanted = append(wanted, typ.Short)
		for _, p := range typ.New(agents.Env{}).Params() {
			wanted = append(wanted, p.Name+" ("+ocf.Remarks(p)+")", p.Short+". "+p.Long)
		}
		for _, a := range typ.Actions {
			wanted = append(wanted, a.Name, "timeout", ocf.Seconds(a.Timeout))
		}
		for name, value := range typ.Example {
			wanted = append(wanted, name+"="+value)
		}
		for _, n := range ocf.Variables() {
			wanted = append(wanted, n.Name+" "+n.Text)
		}
		for _, c := range ocf.Codes(typ) {
			wanted = append(wanted, "("+c.String()+") "+c.Meaning())
		}
		text := page(typ, nil, time.Now())
		text = strings.Replace(text, ".Sh NAME\n", ".Sh BEGIN\n", 1) + ".Sh END\nx\n"
		got := strings.Join(shown(t, text), " ")
		for _, want := range wanted {
			if want = strings.Join(strings.Fields(want), " "); !strings.Contains(got, want) {
				t.Errorf("page of %s lacks %q", typ.Name, want)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	types := suite.Types()
	first, second := time.Date(2026, 1, 9, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)
	for file, text := range map[string]string{"ocf_mailha_gone.7": "stale", "mailhad.8": "by hand", pageName(types[0]) + ".7": "torn"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Update(dir, types, first); err != nil {
		t.Fatal(err)
	}
	files := read(t, dir)
	if _, ok := files["ocf_mailha_gone.7"]; ok {
		t.Error("the page of an agent that is no more is still there")
	}
	if files["mailhad.8"] != "by hand" {
		t.Errorf("changed a page that is no agent's: %q", files["mailhad.8"])
	}
	if len(files) != len(types)+1 {
		t.Errorf("%d files, want %d", len(files), len(types)+1)
	}

	types[0].Short += " (changed)"
	if err := Update(dir, types, second); err != nil {
		t.Fatal(err)
	}
	changed, unchanged := read(t, dir)[pageName(types[0])+".7"], read(t, dir)[pageName(types[1])+".7"]
	if date, ok := dateOf(changed); !ok || !date.Equal(second) {
		t.Errorf("a changed page has the date %s, want %s", date, second)
	}
	if date, ok := dateOf(unchanged); !ok || !date.Equal(first) {
		t.Errorf("an unchanged page has the date %s, want %s", date, first)
	}
	if err := Update(filepath.Join(dir, "missing"), types, first); err == nil {
		t.Error("wrote to a directory that is not there")
	}
}
