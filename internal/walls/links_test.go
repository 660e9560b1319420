// SPDX-License-Identifier: Apache-2.0

package walls

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// The ways in which Markdown names another file: [text](target "title"),
// [label]: target, and HTML's attributes.
func linkForms() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`\]\(\s*<?([^)>\s]+)>?[^)]*\)`),
		regexp.MustCompile(`(?m)^ {0,3}\[[^\]]+\]:\s+<?([^>\s]+)`),
		regexp.MustCompile(`(?:href|src)="([^"]+)"`),
	}
}

// What Markdown shows as it is, where a link is none.
func verbatim() *regexp.Regexp {
	return regexp.MustCompile("(?ms)^ {0,3}```.*?^ {0,3}```|``[^`\n].*?``|`[^`\n]*`")
}

// brokenLinks lists the links of Markdown files that name no file of the tree.
func brokenLinks(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	var broken []string
	for _, name := range files(t, fsys, ".md") {
		text := verbatim().ReplaceAllString(source(t, fsys, name), "")
		for _, form := range linkForms() {
			for _, match := range form.FindAllStringSubmatch(text, -1) {
				if !leadsSomewhere(fsys, name, match[1]) {
					broken = append(broken, fmt.Sprintf("%s: %s", name, match[1]))
				}
			}
		}
	}
	return broken
}

func leadsSomewhere(fsys fs.FS, from, link string) bool {
	u, err := url.Parse(link)
	if err != nil {
		return false
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return true // another site, or a place in the same file
	}
	target := path.Join(path.Dir(from), u.Path)
	if strings.HasPrefix(u.Path, "/") {
		target = path.Join(".", u.Path[1:]) // the top of the repository
	}
	_, err = fs.Stat(fsys, target)
	return err == nil
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, broken := range brokenLinks(t, tree()) {
		t.Errorf("%s: there is no such file", broken)
	}
}

func TestBrokenLinks(t *testing.T) {
	fsys := fstest.MapFS{
		"docs/a b.md": {},
		"docs/x.png":  {},
		"README.md": {Data: []byte("[ok](docs/a%20b.md#part) [ok](https://example.org/none) [ok](#here) ![ok](docs/x.png \"title\")\n" +
			"[![ok](docs/x.png)](docs) <img src=\"docs/x.png\"> [ok](/docs/x.png) `[no](link)`\n" +
			"[bad](docs/none.md) [bad](../outside.md) [![bad](no.png)](docs) <a href=\"gone\">\n" +
			"```\n[no](link2)\n```\n[ref]: missing.md\n[ref2]: <docs/x.png>\n")},
		"docs/in.md": {Data: []byte("[ok](../README.md) [ok](x.png) [bad](docs/x.png)")},
	}
	want := []string{
		"README.md: docs/none.md", "README.md: ../outside.md", "README.md: no.png", "README.md: missing.md", "README.md: gone",
		"docs/in.md: docs/x.png",
	}
	if diff := cmp.Diff(want, brokenLinks(t, fsys)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
