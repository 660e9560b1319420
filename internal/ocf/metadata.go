// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// prolog names the DTD that resource-agents ships and ocf-tester validates
// against. That one knows API 1.0 only, so what 1.1 added is declared here: of
// two declarations of an attribute the first one counts, and this part is read
// before the file (XML 1.0, sections 2.8 and 3.3). It names no encoding: lxml
// refuses to read a string that does.
const prolog = `<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
  <!ATTLIST parameter reloadable (1|0) "0" unique-group CDATA #IMPLIED>
  <!ATTLIST action name (start|stop|monitor|reload|reload-agent|migrate_to|migrate_from|promote|demote|notify|validate-all|meta-data) #REQUIRED>
]>
`

// writeMetadata prints what the cluster manager has to know of an agent: OCF
// resource agent API 1.1, section 4. It must work on a machine on which nothing
// is configured.
func writeMetadata(w io.Writer, t agents.Type, version string) error {
	var x markup
	x.WriteString(prolog)
	x.open(0, "resource-agent", "name", t.Name, "version", version)
	x.element(1, "version", "1.1")
	x.texts(1, t.Long, t.Short)
	x.open(1, "parameters")
	for _, p := range t.New(agents.Env{}).Params() {
		x.open(2, "parameter", "name", p.Name,
			"unique", flag(p.Unique != ""), // OCF 1.0: a change needs a restart
			"unique-group", p.Unique, "required", flag(p.Required), "reloadable", flag(p.Reloadable))
		x.texts(3, cmp.Or(p.Long, p.Short+"."), p.Short)
		x.element(3, "content", "", "type", p.Value.OCFType(), "default", p.Value.String())
		x.end(2, "parameter")
	}
	x.end(1, "parameters")
	x.open(1, "actions")
	for _, a := range t.Actions {
		interval, depth := "", ""
		if a.Interval > 0 {
			interval, depth = Seconds(a.Interval), strconv.Itoa(int(a.Depth))
		}
		x.element(2, "action", "", "name", a.Name, "role", string(a.Role),
			"timeout", Seconds(a.Timeout), "interval", interval, "depth", depth)
	}
	x.end(1, "actions")
	x.end(0, "resource-agent")
	_, err := io.WriteString(w, x.String())
	return err
}

// markup is an XML document in the making. For encoding/xml every call of the
// program would pay, and few of them print metadata.
type markup struct{ strings.Builder }

// open writes a start tag. Attributes are names and values; those with an empty
// value are left out.
func (x *markup) open(depth int, name string, attrs ...string) {
	x.start(depth, name, attrs)
	x.WriteString("\n")
}

func (x *markup) start(depth int, name string, attrs []string) {
	fmt.Fprintf(x, "%*s<%s", 2*depth, "", name)
	for a := range slices.Chunk(attrs, 2) {
		if a[1] != "" {
			fmt.Fprintf(x, ` %s="%s"`, a[0], html.EscapeString(a[1]))
		}
	}
	x.WriteString(">")
}

func (x *markup) end(depth int, name string) {
	fmt.Fprintf(x, "%*s</%s>\n", 2*depth, "", name)
}

// element writes an element that has nothing but text in it.
func (x *markup) element(depth int, name, text string, attrs ...string) {
	x.start(depth, name, attrs)
	x.WriteString(html.EscapeString(text))
	x.end(0, name)
}

func (x *markup) texts(depth int, long, short string) {
	x.element(depth, "longdesc", long, "lang", "en")
	x.element(depth, "shortdesc", short, "lang", "en")
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// declared says whether the agent's metadata names the action.
func declared(t agents.Type, name string) bool {
	return slices.ContainsFunc(t.Actions, func(a agents.Action) bool { return a.Name == name })
}

// suggestedTimeout is the shortest that the metadata names for the action.
func suggestedTimeout(t agents.Type, name string) time.Duration {
	const otherwise = 20 * time.Second
	best := time.Duration(0)
	for _, a := range t.Actions {
		if a.Name == name && (best == 0 || a.Timeout < best) {
			best = a.Timeout
		}
	}
	return cmp.Or(best, otherwise)
}
