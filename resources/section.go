// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section reads the keys of one table. A key that is asked for is known from
// then on; rest reports the others.
type section struct {
	*document
	*table
	label string // what messages call it
	asked []string
}

// span is a span of time and what it may be.
type span struct{ def, min, max time.Duration }

// item is a text with its place.
type item struct {
	text string
	at   place
}

func (s *section) key(name string) *key {
	s.asked = append(s.asked, name)
	return s.get(name)
}

func (s *section) problem(at place, hint, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if s.label != "" {
		what = s.label + ": " + what
	}
	s.add(at, what, hint)
}

// required reports a key that is not there.
func (s *section) required(name, hint string) {
	if !s.torn && s.get(name) == nil {
		s.problem(s.at, hint, "%s is missing", name)
	}
}

// of asks for a key of one form; nil: it is not there, or it is something else.
func (s *section) of(name string, want form, example string) *key {
	k := s.key(name)
	if k == nil || k.form == want {
		return k
	}
	s.problem(k.value.at, "write it as "+name+" = "+example, "%s has to be %s, and is %s", name, want, k.form)
	return nil
}

func (s *section) text(name, def string) item {
	k := s.of(name, formText, `"…"`)
	if k == nil {
		return item{def, s.at}
	}
	return item{k.text, k.value.at}
}

func (s *section) bool(name string, def bool) bool {
	k := s.of(name, formBool, "true")
	if k == nil {
		return def
	}
	return k.text == "true"
}

func (s *section) number(name string, def, least, most int) int {
	k := s.of(name, formNumber, strconv.Itoa(def))
	if k == nil {
		return def
	}
	n, err := strconv.Atoi(k.text)
	if err != nil || n < least || n > most {
		s.problem(k.value.at, "", "%s = %s is not between %d and %d", name, k.text, least, most)
		return def
	}
	return n
}

func (s *section) duration(name string, of span) time.Duration {
	example := strconv.Quote(Span(of.def))
	k := s.of(name, formText, example)
	if k == nil {
		return of.def
	}
	d, err := time.ParseDuration(k.text)
	switch {
	case err != nil:
		s.problem(k.value.at, `write a number with a unit: "500ms", "10s", "5m", "1h30m"`, "%s = %q is no span of time", name, k.text)
	case d < of.min || d > of.max:
		s.problem(k.value.at, "", "%s = %q is not between %s and %s", name, k.text, Span(of.min), Span(of.max))
	default:
		return d
	}
	return of.def
}

// choice reads one of a few words.
func choice[T ~string](s *section, name string, def T, words ...T) T {
	got := s.text(name, string(def))
	if slices.Contains(words, T(got.text)) {
		return T(got.text)
	}
	all := names(words, func(w T) string { return string(w) })
	s.problem(got.at, "it may be "+enumerate(all), "%s = %q is not known", name, got.text)
	return def
}

// path reads an absolute path; empty if def is.
func (s *section) path(name, def string) string {
	got := s.text(name, def)
	if got.text == "" && def == "" {
		return ""
	}
	if !filepath.IsAbs(got.text) {
		s.problem(got.at, "begin it with /", "%s = %q is no absolute path", name, got.text)
		return def
	}
	return filepath.Clean(got.text)
}

// texts reads an array of strings; a string alone counts as one of length one.
func (s *section) texts(name string) []item {
	k := s.key(name)
	if k == nil {
		return nil
	}
	return s.items(name, k.value)
}

func (s *section) items(name string, v value) []item {
	if v.form == formText {
		return []item{{v.text, v.at}}
	}
	var all []item
	if v.form != formList {
		s.problem(v.at, "write it as "+name+` = ["…", "…"]`, "%s has to be an array of strings, and is %s", name, v.form)
	}
	for _, e := range v.list {
		if e.form != formText {
			s.problem(e.at, "write it in quotes", "%s has to be an array of strings, and one of them is %s", name, e.form)
			continue
		}
		if slices.ContainsFunc(all, func(i item) bool { return i.text == e.text }) {
			s.problem(e.at, "", "%s has %q twice", name, e.text)
			continue
		}
		all = append(all, item{e.text, e.at})
	}
	return all
}

// sub opens a table below this one; nil: it is not there.
func (s *section) sub(name, label string) *section {
	k := s.of(name, formTable, "{ … }")
	if k == nil {
		return nil
	}
	return &section{document: s.document, table: k.table, label: label}
}

// subs opens the tables of a list, [[name]].
func (s *section) subs(name string) []*section {
	k := s.key(name)
	if k == nil {
		return nil
	}
	var all []*section
	list := k.list
	if k.form != formList {
		list = []value{k.value}
	}
	for _, v := range list {
		if v.form != formTable || k.form != formList {
			s.problem(v.at, "begin each with a line [["+name+"]]", "%s has to be a list of tables", name)
			continue
		}
		all = append(all, &section{document: s.document, table: v.table})
	}
	return all
}

// rest reports the keys that nobody has asked for.
func (s *section) rest() {
	for _, k := range s.keys {
		if !slices.Contains(s.asked, k.name) {
			s.problem(k.at, DidYouMean(k.name, s.asked), "there is no key %q", k.name)
		}
	}
}

// Span writes a span of time the way people do: 2m, not 2m0s.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
