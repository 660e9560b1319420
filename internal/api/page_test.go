// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs/api.md has every request and every code, and nothing else.
func TestPageIsTrue(t *testing.T) {
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page := read("../../docs/api.md")
	for what, find := range map[string][2]string{
		"requests": {`"((?:GET|POST|PUT|DELETE) /v1/[^"]*)"`, "\\| `((?:GET|POST|PUT|DELETE) /v1/[^`]*)` \\|"},
		"codes":    {`\tCode\w+ += "(\w+)" +// \d+`, "\\| `(\\w+)` \\| \\d+ \\|"},
	} {
		source := read("routes.go")
		if what == "codes" {
			source = read("fault.go")
		}
		if diff := cmp.Diff(found(find[0], source), found(find[1], page)); diff != "" {
			t.Errorf("%s (-source +page)\n%s", what, diff)
		}
	}
	if !strings.Contains(page, "?watch") {
		t.Error("the stream is not in it")
	}
}

func found(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
