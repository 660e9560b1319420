// SPDX-License-Identifier: Apache-2.0

package console

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/suite"
)

// tree is the commands of the program.
func tree(t *testing.T) *cobra.Command {
	t.Helper()
	s := &session{Program: Program{Types: suite.Types()}, kinds: kinds.Of(suite.Types())}
	root := s.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// leaves are the commands that do something, with the flags of their own.
func leaves(c *cobra.Command) map[string][]string {
	all := map[string][]string{}
	for _, sub := range c.Commands() {
		if len(sub.Commands()) > 0 {
			maps.Copy(all, leaves(sub))
			if !strings.Contains(sub.Use, " ") {
				continue // it does nothing by itself
			}
		}
		var flags []string
		sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				flags = append(flags, f.Name)
			}
		})
		slices.Sort(flags)
		all[strings.TrimPrefix(sub.CommandPath(), "mailhactl ")] = flags
	}
	return all
}

// The page has every command with every flag of it, and nothing else.
func TestPageIsTrue(t *testing.T) {
	data, err := os.ReadFile("../../man/mailhactl.8")
	if err != nil {
		t.Fatal(err)
	}
	page := map[string][]string{}
	var current []string
	flag := regexp.MustCompile(`\bFl -([a-z-]+)`)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, ".It") || strings.HasPrefix(line, ".S") {
			current = nil
		}
		if rest, ok := strings.CutPrefix(line, ".It Ic "); ok {
			for part := range strings.SplitSeq(rest, " , Ic ") {
				var words []string
				for word := range strings.FieldsSeq(part) {
					if !regexp.MustCompile(`^[a-z][a-z-]+$`).MatchString(word) {
						break
					}
					words = append(words, word)
				}
				current = append(current, strings.Join(words, " "))
				page[current[len(current)-1]] = nil
			}
		}
		for _, found := range flag.FindAllStringSubmatch(line, -1) {
			for _, command := range current {
				if !slices.Contains(page[command], found[1]) {
					page[command] = append(page[command], found[1])
				}
			}
		}
		if strings.Contains(line, `", Fl -`) {
			t.Errorf("a list of flags that this test cannot read: %q", line)
		}
	}
	for command := range page {
		slices.Sort(page[command])
	}
	if diff := cmp.Diff(leaves(tree(t)), page); diff != "" {
		t.Errorf("(-commands +page)\n%s", diff)
	}
	for code, name := range map[int]string{exitOK: "done", exitFailed: "refused", exitUsage: "command line", exitUnreachable: "reached", exitNotWell: "exit-code"} {
		if !regexp.MustCompile(`(?s)\.It ` + string(rune('0'+code)) + `\n[^\n]*(\n[^\n.]*)?`).MatchString(string(data)) {
			t.Errorf("exit code %d (%s) is not in the page", code, name)
		}
	}
}

// What our messages advise exists.
func TestAdviceIsOfCommandsThatExist(t *testing.T) {
	all := leaves(tree(t))
	dirs := []string{"../api", "../console", "../state", "../daemon", "../failover", "../enrol", "../quorum", "../trust", "../../resources", "../../resources/placement"}
	advice := regexp.MustCompile(`mailhactl ([a-z][a-z-]+)( [a-z][a-z-]+)?`)
	count := 0
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			data, err := os.ReadFile(dir + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				if strings.Contains(line, "//") && !strings.Contains(line, `"`) {
					continue
				}
				for _, m := range advice.FindAllStringSubmatch(line, -1) {
					_, one := all[m[1]]
					_, two := all[m[1]+m[2]]
					if !one && !two && !slices.Contains([]string{"shows"}, m[1]) {
						t.Errorf("%s/%s advises %q", dir, e.Name(), m[0])
					}
					count++
				}
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d pieces of advice were found", count)
	}
}
