// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MaxName is the greatest length of a resource's or group's name in bytes:
// files and tables of the packet filter are named after it.
const MaxName = 56

// named reads the name of a table of a list, and makes it its label.
func (s *section) named(sort, pattern, rule string) string {
	s.label = "[[" + sort + "]]"
	s.required("name", "")
	name := s.text("name", "")
	if name.text == "" {
		if s.get("name") != nil && name.at != s.at {
			s.problem(name.at, "", "name is empty")
		}
		return ""
	}
	s.label = fmt.Sprintf("%s %q", sort, name.text)
	switch {
	case len(name.text) > MaxName:
		s.problem(name.at, "", "its name has more than %d characters", MaxName)
	case !regexp.MustCompile(pattern).MatchString(name.text):
		s.problem(name.at, rule, "its name has a character that no name may have")
	}
	return name.text
}

// DidYouMean is a hint with the nearest of the names that there are; empty: none is near,
// and they are too many to be told.
func DidYouMean(got string, have []string) string {
	if near := nearest(got, have); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	if len(have) > 0 && len(have) <= 12 {
		return "there is " + enumerate(have)
	}
	return ""
}

// nearest is the name that a misspelt one was most probably meant to be; empty
// if none is near.
func nearest(got string, have []string) string {
	best, least := "", max(1, len(got)/3)+1
	for _, name := range have {
		if d := distance(strings.ToLower(got), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// enumerate writes "a", "b" and "c" in the words of a sentence.
func enumerate(all []string) string {
	quoted := names(all, strconv.Quote)
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
