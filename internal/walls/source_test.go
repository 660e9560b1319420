// SPDX-License-Identifier: Apache-2.0

package walls

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const licence = "// SPDX-License-Identifier: Apache-2.0\n"

// unlicensed lists the Go files that do not begin with the licence.
func unlicensed(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, fsys, ".go"), func(name string) bool {
		return strings.HasPrefix(source(t, fsys, name), licence)
	})
}

func source(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEveryFileBeginsWithItsLicence(t *testing.T) {
	for _, name := range unlicensed(t, tree()) {
		t.Errorf("%s does not begin with %q", name, strings.TrimSpace(licence))
	}
}

// wordless lists the packages that do not say what they are for and what they
// must never do. A program only has to say what it is for.
func wordless(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	type words struct{ name, doc string }
	packages := map[string]words{} // by folder
	for _, name := range files(t, fsys, ".go") {
		file, err := parser.ParseFile(token.NewFileSet(), name, source(t, fsys, name), parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		w := packages[path.Dir(name)]
		w.name = strings.TrimSuffix(file.Name.Name, "_test")
		if !strings.HasSuffix(name, "_test.go") { // go doc does not read those
			w.doc += text(file.Doc)
		}
		packages[path.Dir(name)] = w
	}
	never := regexp.MustCompile(`(?i)\bnever\b`)
	var wrong []string
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		switch w := packages[dir]; {
		case w.doc == "":
			wrong = append(wrong, fmt.Sprintf("%s: package %s has no package comment (doc.go)", dir, w.name))
		case w.name != "main" && !never.MatchString(w.doc):
			wrong = append(wrong, fmt.Sprintf("%s: the comment of package %s does not say what it must never do", dir, w.name))
		}
	}
	return wrong
}

// text is the comment, without the licence where no empty line parts the two.
func text(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.TrimPrefix(c.Text(), strings.TrimPrefix(licence, "// "))
}

func TestEveryPackageSaysWhatItMustNeverDo(t *testing.T) {
	for _, wrong := range wordless(t, tree()) {
		t.Error(wrong)
	}
}

// The rules find what is wrong, and only that.
func TestRulesAboutSource(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	fsys := fstest.MapFS{
		"good/good.go":      file(licence + "\n// Package good is fine.\n// It must never fail.\npackage good\n"),
		"good/good_test.go": file("\n" + licence + "package good_test\n"),
		"mute/mute.go":      file(licence + "\n// A comment that is not the package's.\n\npackage mute\n"),
		"mute/mute_test.go": file(licence + "\n// Package mute is fine and must never fail.\npackage mute\n"),
		"rash/rash.go":      file(licence + "\n// Package rash is nevertheless fine.\npackage rash\n"),
		"cmd/x/main.go":     file("// Command x is fine.\npackage main\n"),
		"cmd/y/main.go":     file(licence + "package main\n"),
		"tests/a_test.go":   file(licence + "package tests\n"),
		"build/made.go":     file("package made\n"),
	}
	if diff := cmp.Diff([]string{"cmd/x/main.go", "good/good_test.go"}, unlicensed(t, fsys)); diff != "" {
		t.Errorf("unlicensed: (-want +got)\n%s", diff)
	}
	var dirs []string
	for _, wrong := range wordless(t, fsys) {
		dir, _, _ := strings.Cut(wrong, ":")
		dirs = append(dirs, dir)
	}
	if diff := cmp.Diff([]string{"cmd/y", "mute", "rash", "tests"}, dirs); diff != "" {
		t.Errorf("wordless: (-want +got)\n%s", diff)
	}
}
