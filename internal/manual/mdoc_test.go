// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// mandoc runs mandoc(1) on a page. Its status is not zero if it has a warning.
func mandoc(t *testing.T, page string, args ...string) (stdout string, err error) {
	t.Helper()
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Fatal("mandoc is missing, which checks the pages: apt-get install mandoc")
	}
	cmd := exec.CommandContext(t.Context(), "mandoc", args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(page)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// shown is what a reader sees of the body of a page, word by word.
func shown(t *testing.T, page string) []string {
	t.Helper()
	out, err := mandoc(t, page, "-T", "utf8", "-O", "width=1000")
	if err != nil {
		t.Fatalf("mandoc: %v\n%s", err, out)
	}
	// Bold is a character, a backspace and the character again.
	for {
		i := strings.IndexByte(out, '\b')
		if i < 0 {
			break
		}
		_, size := lastRune(out[:i])
		out = out[:i-size] + out[i+1:]
	}
	_, body, found := strings.Cut(out, "BEGIN\n")
	body, _, ended := strings.Cut(body, "END\n")
	if !found || !ended {
		t.Fatalf("no body in:\n%s", out)
	}
	return strings.Fields(body)
}

func lastRune(s string) (rune, int) {
	runes := []rune(s)
	r := runes[len(runes)-1]
	return r, len(string(r))
}

// body makes a whole page around what write writes.
func body(write func(*mdoc)) string {
	m := &mdoc{}
	m.macro("Dd January 2, 2006")
	m.macro("Dt PAGE 7")
	m.macro("Os mailha")
	m.macro("Sh NAME")
	m.macro("Nm page")
	m.macro("Nd a page")
	m.macro("Sh BEGIN")
	write(m)
	m.macro("Sh END")
	m.text("That is all.")
	return m.String()
}

// words are those that a page must show for a text.
func words(s string) []string {
	return strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s))
}

// FuzzEscape holds what mandoc shows of a text against the text.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{
		"plain words", ".Sh FAKE", "'br", "one. .Pp two", `back\slash \fB \n(.s \&`, "Ar", "Op Cm x", "%A", ". , : ; ( ) [ ] ? ! |", `"`, `say "no" "`, "tab\there",
		"it's ^ ~ ` -- - \u2010", "two\n\n.Pp\n\nparagraphs\n\n\n\nend", "ends. Begins? (Yes.) No!", "", " ", "\x00\x1b[1m\x7f", "\xff", "größe 東京 🙂", ".", "\\", "-", "No", "192.0.2.25,2001:db8::25",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := words(s)
		if len(want) == 0 || len(s) > 100 || strings.ContainsFunc(s, combines) {
			return
		}
		for form, write := range map[string]func(*mdoc){
			"text":     func(m *mdoc) { m.text(s) },
			"literal":  func(m *mdoc) { m.literal(strings.Join(want, " ")) },
			"argument": func(m *mdoc) { m.macro("Cm %s", s) },
			"quoted":   func(m *mdoc) { m.macro("Em %s Pq %s", s, s) },
		} {
			page := body(write)
			if out, err := mandoc(t, page, "-T", "lint", "-W", "warning"); err != nil {
				t.Errorf("%s of %q: %v\n%s%s", form, s, err, out, page)
			}
			expect := want
			if form == "quoted" {
				expect = words(s + " (" + strings.Join(want, " ") + ")")
			}
			if diff := cmp.Diff(expect, shown(t, page)); diff != "" {
				t.Errorf("%s of %q is shown as something else (-want +got):\n%s%s", form, s, diff, page)
			}
		}
	})
}

// combines says whether a terminal shows r in one cell with another character,
// which changes what mandoc prints, but not what is shown.
func combines(r rune) bool { return unicode.In(r, unicode.M) }
