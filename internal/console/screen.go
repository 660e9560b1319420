// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/resources"
)

// Screen is what standard output is.
type Screen struct {
	Width    int  // in characters
	Terminal bool // it can be written over
	Colour   bool
}

const (
	usualWidth  = 80
	leastWidth  = 40
	greatestOne = 120 // longer lines are hard to read
)

func screenOf(w io.Writer) Screen {
	f, ok := w.(*os.File)
	if !ok {
		return Screen{Width: usualWidth}
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Screen{Width: usualWidth}
	}
	width := int(size.Col)
	if width == 0 {
		width = usualWidth
	}
	term := os.Getenv("TERM")
	dumb := term == "" || term == "dumb"
	return Screen{
		Width: min(max(width, leastWidth), greatestOne), Terminal: !dumb,
		Colour: !dumb && os.Getenv("NO_COLOR") == "", // no-color.org
	}
}

// print writes; who has closed the other end needs no answer.
func (s *session) print(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// json writes a value for programs.
func (s *session) json(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// show prints text for people, or the value for programs.
func (s *session) show(v any, text func(*page)) error {
	if s.output == outputJSON {
		return s.json(v)
	}
	p := s.page()
	text(p)
	_, err := io.WriteString(s.out, p.String())
	return err
}

// page is text under way.
type page struct {
	strings.Builder
	Screen
	now time.Time
}

func (s *session) page() *page { return &page{Screen: s.screen, now: s.Now()} }

// Colours, as of ECMA-48.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

func (p *page) paint(colour, text string) string {
	if !p.Colour || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// wrapped writes text after a head, broken at words, and indents what follows
// below the head's end. The head may have colour, so that its width is given.
func (p *page) wrapped(head string, width int, text string) {
	room := max(p.Width-width, 20)
	for i, line := range wrap(text, room) {
		if i > 0 {
			head = strings.Repeat(" ", width)
		}
		p.line("%s", strings.TrimRight(head+line, " "))
	}
}

// wrap breaks text into lines of at most so many characters, if its words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// row is one line of a table. The last cell takes the rest of the width.
type row struct {
	cells  []string
	colour string // of the whole row
}

// table writes rows below a head, each column as wide as it must be.
func (p *page) table(rows []row) {
	var widths []int
	for _, r := range rows {
		for i, c := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		used := 0
		for i, c := range r.cells {
			if i == len(r.cells)-1 {
				b.WriteString(cut(c, max(p.Width-used, 8)))
				break
			}
			b.WriteString(c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
			used += widths[i] + 2
		}
		text := strings.TrimRight(b.String(), " ")
		if r.colour != "" {
			text = p.paint(r.colour, text)
		}
		p.line("%s", text)
	}
}

// cut shortens text to a width.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}

// span is a span of time in a column.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return resources.Span(d.Round(time.Second))
	case d < 10*time.Hour:
		return resources.Span(d.Round(time.Minute))
	case d < 48*time.Hour:
		return resources.Span(d.Round(time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

// since is how long ago something began; "-" if it never did.
func (p *page) since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(p.now.Sub(t))
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// list writes a, b and c.
func list(all []string) string {
	last := len(all) - 1
	if last < 1 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:last], ", ") + " and " + all[last]
}
