// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Board is what several rivals did in the same acts.
type Board struct {
	Columns []string `json:"columns"` // rivals
	Lines   []Line   `json:"lines"`
}

// Line is one figure of all of them.
type Line struct {
	Act   string          `json:"act"`
	Name  string          `json:"name"`
	Unit  string          `json:"unit"`
	Cells map[string]Cell `json:"cells"` // by column
}

// Cell is one figure of one rival.
type Cell struct {
	Values []float64 `json:"values"` // in the order measured
	Goal   float64   `json:"goal"`   // for the median: at most; 0: none
}

// add notes a value.
func (b *Board) add(act, name, unit, column string, value, goal float64) {
	i := slices.IndexFunc(b.Lines, func(l Line) bool { return l.Name == name })
	if i < 0 {
		i = len(b.Lines)
		b.Lines = append(b.Lines, Line{Act: act, Name: name, Unit: unit, Cells: map[string]Cell{}})
	}
	c := b.Lines[i].Cells[column]
	c.Values, c.Goal = append(c.Values, value), goal
	b.Lines[i].Cells[column] = c
}

// missed says by how much the median is over the goal; 0: it is not.
func (c Cell) missed() float64 {
	if c.Goal == 0 || len(c.Values) == 0 {
		return 0
	}
	return max(0, median(c.Values)-c.Goal)
}

func (c Cell) String() string {
	if len(c.Values) == 0 {
		return "–"
	}
	text := figure(median(c.Values))
	if worst := slices.Max(c.Values); len(c.Values) > 1 {
		text += " (" + figure(worst) + ")"
	}
	if c.Goal > 0 {
		sign := "≤"
		if c.missed() > 0 {
			sign = "**missed:** ≤"
		}
		text += ", " + sign + " " + figure(c.Goal)
	}
	return text
}

// Write prints the board as Markdown, and below it which goals were missed, by how much,
// and why as far as that is known: by the name of the line.
func (b *Board) Write(w io.Writer, why map[string]string) {
	runs := 0
	for _, l := range b.Lines {
		for _, c := range l.Cells {
			runs = max(runs, len(c.Values))
		}
	}
	fmt.Fprintf(w, "| what | unit | %s |\n|---|---|%s\n", strings.Join(b.Columns, " | "), strings.Repeat("---:|", len(b.Columns)))
	for _, l := range b.Lines {
		fmt.Fprintf(w, "| %s | %s |", l.Name, l.Unit)
		for _, column := range b.Columns {
			fmt.Fprintf(w, " %s |", l.Cells[column])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nRuns of each act: %d.\n", runs)
	var missed []string
	for _, l := range b.Lines {
		for _, column := range b.Columns {
			c := l.Cells[column]
			if over := c.missed(); over > 0 {
				text := fmt.Sprintf("- %s, %s: %s %s over the goal of %s.", l.Name, column, figure(over), l.Unit, figure(c.Goal))
				if reason := why[l.Name]; reason != "" {
					text += " " + reason
				}
				missed = append(missed, text)
			}
		}
	}
	if len(missed) == 0 {
		fmt.Fprintln(w, "\nAll goals were met by the medians.")
		return
	}
	fmt.Fprintf(w, "\nGoals that were missed:\n\n%s\n", strings.Join(missed, "\n"))
}
