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
	seen := map[string]bool{}
	for _, a := range t.Actions {
		if !seen[a.Name] {
			seen[a.Name] = true
			fmt.Fprintf(w, "  %s\n", a.Name)
		}
	}
	fmt.Fprintf(w, "\nParameters (also as OCF_RESKEY_NAME in the environment):\n")
	for _, p := range t.New(agents.Env{}).Params() {
		fmt.Fprintf(w, "  %s%s\n", p.Name, remarks(p))
		writeWrapped(w, "      ", p.Short+". "+p.Long)
	}
	fmt.Fprintf(w, "\nEnvironment:\n")
	writeWrapped(w, "  ", "OCF_RESOURCE_INSTANCE names the resource (default); OCF_CHECK_LEVEL is the depth of monitor and validate-all (0, 10 or 20); OCF_RESKEY_CRM_meta_timeout is the time allowed, in milliseconds.")
	fmt.Fprintf(w, "\nExit status:\n")
	for _, c := range []Code{Success, Generic, Args, Unimplemented, Perm, Installed, Configured, NotRunning, Degraded} {
		fmt.Fprintf(w, "  %3d  %s\n", c, c)
	}
}

func remarks(p agents.Param) string {
	var notes []string
	if p.Required {
		notes = append(notes, "required")
	}
	if def := p.Value.String(); def != "" {
		notes = append(notes, "default "+def)
	}
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
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
