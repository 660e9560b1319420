// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"strings"
	"unicode"
)

// mdoc collects the lines of a page. Whatever it is given as text appears in
// the page as it is; only the names of macros are taken at their word.
type mdoc struct{ b strings.Builder }

func (m *mdoc) String() string { return m.b.String() }

// macro writes a line such as ".It Cm name". The format is mdoc; the arguments
// that it calls for with %s are texts.
func (m *mdoc) macro(format string, args ...string) {
	escaped := make([]any, len(args))
	for i, arg := range args {
		escaped[i] = escapeArg(arg)
	}
	fmt.Fprintf(&m.b, "."+format+"\n", escaped...)
}

// text writes paragraphs, which empty lines part. Each sentence begins a line:
// that is how mdoc knows where sentences end.
func (m *mdoc) text(s string) {
	written := false
	for paragraph := range strings.SplitSeq(s, "\n\n") {
		words := strings.Fields(paragraph)
		if len(words) == 0 {
			continue
		}
		if written {
			m.macro("Pp")
		}
		m.fill(words)
		written = true
	}
}

func (m *mdoc) fill(words []string) {
	const width = 76
	line := 0
	for i, word := range words {
		escaped := escape(word)
		switch {
		case i == 0:
		case endsSentence(words[i-1]), line+1+len(escaped) > width:
			m.b.WriteByte('\n')
			line = 0
		default:
			m.b.WriteByte(' ')
			line++
		}
		m.b.WriteString(escaped)
		line += len(escaped)
	}
	m.b.WriteByte('\n')
}

// literal writes lines that a reader may copy, as they are.
func (m *mdoc) literal(lines ...string) {
	m.macro("Bd -literal -offset indent")
	for _, line := range lines {
		m.b.WriteString(escape(line) + "\n")
	}
	m.macro("Ed")
}

func endsSentence(word string) bool {
	word = strings.TrimRight(word, `)"`)
	return strings.HasSuffix(word, ".") || strings.HasSuffix(word, "?") || strings.HasSuffix(word, "!")
}

// escape makes roff show the text as it is. Hyphens, quotes and the like must
// not become their typographic cousins: names and values are copied from pages.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '.' && i == 0:
			b.WriteString(`\&.`) // would begin a macro line
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\[u%04X]`, unicode.ReplacementChar)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeArg makes one argument of a macro. A short word could be read as a
// macro itself, or as punctuation: mdoc(7), "Macro syntax".
func escapeArg(s string) string {
	const longestMacro = 3
	s = strings.Join(strings.Fields(s), " ")
	escaped := escape(s)
	if s == "" || strings.Contains(s, " ") {
		return `"` + escaped + `"`
	}
	if first := rune(escaped[0]); len(escaped) <= longestMacro && !unicode.IsLower(first) && !unicode.IsDigit(first) {
		return `\&` + escaped
	}
	return escaped
}
