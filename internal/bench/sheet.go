// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteSheet prints who saw what as Markdown: a table for each service, with a
// column for each monitor, and below it what those said that saw something.
func WriteSheet(w io.Writer, rows []Row) {
	for len(rows) > 0 {
		service := rows[0].Service
		n := slices.IndexFunc(rows, func(r Row) bool { return r.Service != service })
		if n < 0 {
			n = len(rows)
		}
		writeService(w, service, rows[:n])
		rows = rows[n:]
	}
}

func writeService(w io.Writer, service string, rows []Row) {
	fmt.Fprintf(w, "\n## %s\n\n| fault |", service)
	for _, s := range rows[0].sights() {
		fmt.Fprintf(w, " %s |", s.Monitor)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat(":---:|", len(rows[0].sights())))
	for _, r := range rows {
		fmt.Fprintf(w, "| %s |", r.Fault)
		for _, s := range r.sights() {
			fmt.Fprintf(w, " %s |", cell(s))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "- %s\n", r.Fault)
		for _, s := range r.sights() {
			if s.Verdict != Missed {
				fmt.Fprintf(w, "  - %s\n", line(s))
			}
		}
	}
}

func (r Row) sights() []Sight { return slices.Concat(r.Ours, r.Theirs) }

// cell makes what was seen stand out.
func cell(s Sight) string {
	if s.Verdict == Missed {
		return string(s.Verdict)
	}
	return "**" + string(s.Verdict) + "**"
}

func line(s Sight) string {
	text := fmt.Sprintf("%s: exit code %d after %s ms", s.Monitor, s.Code, figure(s.Millis))
	if s.Verdict == Timeout {
		return fmt.Sprintf("%s: killed after %s ms", s.Monitor, figure(s.Millis))
	}
	if s.Said != "" {
		text += ": `" + strings.ReplaceAll(s.Said, "`", "'") + "`"
	}
	return text
}
