// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// The elements of OCF metadata, API 1.1 section 4.
type (
	xmlAgent struct {
		XMLName    xml.Name   `xml:"resource-agent"`
		Name       string     `xml:"name,attr"`
		Version    string     `xml:"version,attr"`
		API        string     `xml:"version"`
		Long       xmlText    `xml:"longdesc"`
		Short      xmlText    `xml:"shortdesc"`
		Parameters []xmlParam `xml:"parameters>parameter"`
		Actions    []xmlOp    `xml:"actions>action"`
	}
	xmlText struct {
		Lang string `xml:"lang,attr"`
		Text string `xml:",chardata"`
	}
	xmlParam struct {
		Name       string     `xml:"name,attr"`
		Unique     string     `xml:"unique,attr"` // OCF 1.0: a change needs a restart
		Group      string     `xml:"unique-group,attr,omitempty"`
		Required   string     `xml:"required,attr"`
		Reloadable string     `xml:"reloadable,attr"`
		Long       xmlText    `xml:"longdesc"`
		Short      xmlText    `xml:"shortdesc"`
		Content    xmlContent `xml:"content"`
	}
	xmlContent struct {
		Type    string  `xml:"type,attr"`
		Default *string `xml:"default,attr"`
	}
	xmlOp struct {
		Name     string `xml:"name,attr"`
		Timeout  string `xml:"timeout,attr"`
		Interval string `xml:"interval,attr,omitempty"`
		Depth    string `xml:"depth,attr,omitempty"`
	}
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

func text(s string) xmlText { return xmlText{Lang: "en", Text: s} }

// writeMetadata prints what the cluster manager has to know of an agent. It
// must work on a machine on which nothing is configured.
func writeMetadata(w io.Writer, t agents.Type, version string) error {
	doc := xmlAgent{Name: t.Name, Version: version, API: "1.1", Long: text(t.Long), Short: text(t.Short)}
	for _, p := range t.New(agents.Env{}).Params() {
		doc.Parameters = append(doc.Parameters, parameter(p))
	}
	for _, a := range t.Actions {
		doc.Actions = append(doc.Actions, operation(a))
	}
	var b strings.Builder
	b.WriteString(prolog)
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("metadata of %s: %w", t.Name, err)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

func parameter(p agents.Param) xmlParam {
	x := xmlParam{
		Name:       p.Name,
		Unique:     flag(p.Unique != ""),
		Group:      p.Unique,
		Required:   flag(p.Required),
		Reloadable: flag(p.Reloadable),
		Long:       text(cmp.Or(p.Long, p.Short+".")),
		Short:      text(p.Short),
		Content:    xmlContent{Type: p.Value.OCFType()},
	}
	if def := p.Value.String(); def != "" {
		x.Content.Default = &def
	}
	return x
}

func operation(a agents.Action) xmlOp {
	op := xmlOp{Name: a.Name, Timeout: Seconds(a.Timeout)}
	if a.Interval > 0 {
		op.Interval = Seconds(a.Interval)
		op.Depth = fmt.Sprint(int(a.Depth))
	}
	return op
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
