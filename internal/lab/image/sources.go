// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// errNoSources means that the host's apt knows no archive of its own release.
var errNoSources = errors.New("no apt source of this release under /etc/apt; labs need a Debian or Ubuntu host")

// hostSuite reads the host's release name, which the nodes get too, from
// os-release(5).
func hostSuite() (string, error) {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"'`), nil
		}
	}
	return "", errors.New("no VERSION_CODENAME in /etc/os-release; labs need a Debian or Ubuntu host")
}

// hostSources copies those sources of the host's apt that are for the suite or
// its updates into files in dir, and returns their names. Others, such as those
// of a vendor's tool, have no place in a node.
func hostSources(dir, suite string) ([]string, error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	var list, deb822 strings.Builder
	for _, f := range append([]string{"/etc/apt/sources.list"}, files...) {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // most have only one of the two
		}
		switch filepath.Ext(f) {
		case ".list":
			list.WriteString(pick(string(b), "\n", suite, lineSuites))
		case ".sources":
			deb822.WriteString(pick(string(b), "\n\n", suite, stanzaSuites))
		}
	}
	var found []string
	for name, text := range map[string]string{"base.list": list.String(), "base.sources": deb822.String()} {
		if text == "" {
			continue
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
		found = append(found, file)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", suite, errNoSources)
	}
	return found, nil
}

// pick keeps the entries, parted by sep, that name the suite.
func pick(text, sep, suite string, suites func(string) []string) string {
	var b strings.Builder
	for entry := range strings.SplitSeq(text, sep) {
		if slices.ContainsFunc(suites(entry), func(s string) bool {
			return s == suite || strings.HasPrefix(s, suite+"-")
		}) {
			b.WriteString(strings.Trim(entry, "\n") + sep)
		}
	}
	return b.String()
}

// lineSuites reads the suite of a one-line entry (sources.list(5)): deb, options
// in brackets, address, suite, components.
func lineSuites(line string) []string {
	if i, j := strings.Index(line, "["), strings.Index(line, "]"); i >= 0 && j > i {
		line = line[:i] + line[j+1:]
	}
	f := strings.Fields(line)
	if len(f) < 4 || f[0] != "deb" {
		return nil
	}
	return f[2:3]
}

// stanzaSuites reads the suites of a deb822 entry.
func stanzaSuites(stanza string) []string {
	for line := range strings.Lines(stanza) {
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, "Suites") {
			return strings.Fields(value)
		}
	}
	return nil
}
