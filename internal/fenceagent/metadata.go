// SPDX-License-Identifier: Apache-2.0

package fenceagent

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

const (
	shortDesc = "Fence agent for nodes that have a watchdog and reach an etcd"
	longDesc  = `fence_mailha asks a node to end itself, by a record in etcd that mailha-fenced reads on that node. The node is off for certain when it has said its last word, when it has come up with another boot, or when its watchdog must have reset it: mailha-fenced feeds the watchdog only because of looks at etcd that found nothing of the kind. It needs neither a power switch nor a shared disk, but mailha-fenced with a watchdog on each node that it is to fence, and a majority of etcd: without one nobody is called off, and who cannot reach it is reset.`
)

// actions are what metadata list.
func actions() []string {
	return []string{On, Off, Reboot, Status, Monitor, List, ListStatus, Metadata, ValidateAll}
}

// The document that describes an agent (lib/metadata.rng of fence-agents).
type document struct {
	XMLName    xml.Name    `xml:"resource-agent"`
	Name       string      `xml:"name,attr"`
	Short      string      `xml:"shortdesc,attr"`
	Long       string      `xml:"longdesc"`
	VendorURL  string      `xml:"vendor-url"`
	Parameters []parameter `xml:"parameters>parameter"`
	Actions    []action    `xml:"actions>action"`
}

type parameter struct {
	Name       string  `xml:"name,attr"`
	Unique     string  `xml:"unique,attr"`
	Required   string  `xml:"required,attr"`
	Deprecated string  `xml:"deprecated,attr,omitempty"`
	Obsoletes  string  `xml:"obsoletes,attr,omitempty"`
	Getopt     getopt  `xml:"getopt"`
	Content    content `xml:"content"`
	Short      desc    `xml:"shortdesc"`
}

type getopt struct {
	Mixed string `xml:"mixed,attr"`
}

type content struct {
	Type    string `xml:"type,attr"`
	Default string `xml:"default,attr,omitempty"`
}

type desc struct {
	Lang string `xml:"lang,attr"`
	Text string `xml:",chardata"`
}

type action struct {
	Name string `xml:"name,attr"`
	// Automatic of "on" would have a manager call it whenever a node joins.
	Automatic string `xml:"automatic,attr,omitempty"`
}

func metadata(w io.Writer) error {
	doc := document{Name: "fence_mailha", Short: shortDesc, Long: longDesc, VendorURL: "https://github.com/mailha/mailha"}
	for _, o := range options() {
		p := parameter{
			Name: o.name, Unique: "0", Required: "0", Getopt: getopt{o.mixed()},
			Content: content{Type: o.kind, Default: o.standard}, Short: desc{"en", o.text}, Obsoletes: o.instead,
		}
		if o.required {
			p.Required = "1"
		}
		if o.former {
			p.Deprecated = "1"
		}
		doc.Parameters = append(doc.Parameters, p)
	}
	for _, name := range actions() {
		a := action{Name: name}
		if name == On {
			a.Automatic = "0"
		}
		doc.Actions = append(doc.Actions, a)
	}
	data, err := xml.MarshalIndent(doc, "", "\t")
	if err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	_, err = fmt.Fprintf(w, "<?xml version=\"1.0\" ?>\n%s\n", data)
	return err
}

// mixed is how an option is written on a command line.
func (o option) mixed() string {
	long := "--" + strings.ReplaceAll(o.name, "_", "-")
	if o.kind != "boolean" {
		long += "=[" + o.name + "]"
	}
	if o.letter == "" {
		return long
	}
	return "-" + o.letter + ", " + long
}

func help(w io.Writer) {
	fmt.Fprintln(w, "fence_mailha fences a node by its own watchdog, through etcd: fence_mailha(8).")
	fmt.Fprintln(w, "Without options it reads name=value lines from standard input.")
	fmt.Fprintln(w)
	for _, o := range options() {
		if o.former {
			continue
		}
		standard := ""
		if o.standard != "" {
			standard = " (default: " + o.standard + ")"
		}
		fmt.Fprintf(w, "  %s\n        %s%s\n", o.mixed(), o.text, standard)
	}
	fmt.Fprintf(w, "\nActions: %s\n", strings.Join(actions(), ", "))
}
