// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"fmt"
	"io"
	"strings"

	"github.com/mailha/mailha/agents"
)

// writeHelp tells a person who called an agent by hand what it is and how it
// is called. It fits a terminal of 80 columns.
func writeHelp(w io.Writer, t agents.Type, called string) {
	if called != t.Name {
		called += " " + t.Name
	}
	fmt.Fprintf(w, "ocf:mailha:%s - %s\n\n", t.Name, t.Short)
	fmt.Fprintf(w, "usage: %s ACTION [NAME=VALUE ...]\n\n", called)
	writeWrapped(w, "", t.Long)
	fmt.Fprintf(w, "\nActions:\n")
	for _, n := range Actions() {
		if declared(t, n.Name) {
			writeNote(w, n)
		}
	}
	fmt.Fprintf(w, "\nParameters (also as OCF_RESKEY_NAME in the environment):\n")
	for _, p := range t.New(agents.Env{}).Params() {
		writeNote(w, Note{p.Name + " (" + Remarks(p) + ")", p.Short + ". " + p.Long})
	}
	fmt.Fprintf(w, "\nEnvironment:\n")
	for _, n := range Variables() {
		writeNote(w, n)
	}
	fmt.Fprintf(w, "\nExit status:\n")
	for _, c := range Codes(t) {
		fmt.Fprintf(w, "  %3d  %s\n", c, c)
	}
}

func writeNote(w io.Writer, n Note) {
	fmt.Fprintf(w, "  %s\n", n.Name)
	writeWrapped(w, "      ", n.Text)
}

// writeWrapped fills lines up to 78 columns.
func writeWrapped(w io.Writer, indent, s string) {
	const width = 78
	for paragraph := range strings.SplitSeq(s, "\n\n") {
		line := indent
		for _, word := range strings.Fields(paragraph) {
			if len(line)+1+len(word) > width && line != indent {
				fmt.Fprintln(w, line)
				line = indent
			}
			if line != indent {
				line += " "
			}
			line += word
		}
		fmt.Fprintln(w, line)
	}
}
