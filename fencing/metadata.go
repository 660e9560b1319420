// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Metadata is what an agent says of itself (lib/metadata.rng of fence-agents).
type Metadata struct {
	Name    string           `xml:"name,attr"`
	Short   string           `xml:"shortdesc,attr"`
	Params  []MetadataParam  `xml:"parameters>parameter"`
	Actions []MetadataAction `xml:"actions>action"`
}

// MetadataParam is a parameter of an agent.
type MetadataParam struct {
	Name       string `xml:"name,attr"`
	Required   flag   `xml:"required,attr"`
	Deprecated flag   `xml:"deprecated,attr"`
	Obsoletes  string `xml:"obsoletes,attr"` // its former name
	Content    struct {
		Type    string  `xml:"type,attr"` // boolean, string, second, integer or select
		Default *string `xml:"default,attr"`
		Options []struct {
			Value string `xml:"value,attr"`
		} `xml:"option"`
	} `xml:"content"`
}

// MetadataAction is something that an agent can do.
type MetadataAction struct {
	Name string `xml:"name,attr"`
	// OnTarget says that only the node that it is about can do it.
	OnTarget flag `xml:"on_target,attr"`
	// Automatic, or Required in older agents, says of "on" that a node needs it each
	// time it comes up.
	Automatic flag `xml:"automatic,attr"`
	Required  flag `xml:"required,attr"`
}

// flag is 0 or 1, or another way of writing that.
type flag bool

// UnmarshalXMLAttr reads one; whatever is no yes is no.
func (f *flag) UnmarshalXMLAttr(attr xml.Attr) error {
	*f = flag(slices.Contains([]string{"1", "true", "yes"}, strings.ToLower(attr.Value)))
	return nil
}

// Action finds an action.
func (m *Metadata) Action(name string) (MetadataAction, bool) {
	i := slices.IndexFunc(m.Actions, func(a MetadataAction) bool { return a.Name == name })
	if i < 0 {
		return MetadataAction{}, false
	}
	return m.Actions[i], true
}

// Param finds a parameter.
func (m *Metadata) Param(name string) (MetadataParam, bool) {
	i := slices.IndexFunc(m.Params, func(p MetadataParam) bool { return p.Name == name })
	if i < 0 {
		return MetadataParam{}, false
	}
	return m.Params[i], true
}

// Unfences says whether a node has to be let in again by "on" whenever it comes up, as
// by fence_scsi.
func (m *Metadata) Unfences() bool {
	on, ok := m.Action(askOn)
	return ok && bool(on.Automatic || on.Required)
}

// ParseMetadata reads what an agent prints when it is asked for its metadata. Up to
// 256 kB are looked at.
func ParseMetadata(data []byte) (*Metadata, error) {
	if len(data) > maxOut {
		return nil, fmt.Errorf("its metadata have more than %d bytes", maxOut)
	}
	// Some agents complain about something before they begin.
	if i := strings.Index(string(data), "<?xml"); i > 0 {
		data = data[i:]
	}
	var doc struct {
		XMLName xml.Name `xml:"resource-agent"`
		Metadata
	}
	if err := xml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("its metadata cannot be read: %s", clean(err.Error()))
	}
	m := doc.Metadata
	if len(m.Actions) == 0 {
		return nil, errors.New("its metadata have no actions")
	}
	const most, longest = 500, 100 // agents have up to 60 parameters
	if len(m.Params) > most || len(m.Actions) > most {
		return nil, fmt.Errorf("its metadata have more than %d parameters or actions", most)
	}
	for _, p := range m.Params {
		if !paramName.MatchString(p.Name) || len(p.Name) > longest {
			return nil, fmt.Errorf("its metadata have a parameter of the name %q", clean(p.Name))
		}
	}
	return &m, nil
}

// Describe asks an agent for its metadata. [ErrNotInstalled]: there is none on this node.
func Describe(ctx context.Context, agent string) (*Metadata, error) {
	const patience = 10 * time.Second // Python has to be read from a busy disk
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := call(ctx, Device{Agent: agent}, askMetadata, "")
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	if a.code != codeOK {
		return nil, fmt.Errorf("agent %s: no metadata: %s", agent, a.why())
	}
	m, err := ParseMetadata([]byte(a.out))
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	return m, nil
}

// why says in words what an agent's end means that is no success.
func (a answer) why() string {
	if a.said == "" {
		return fmt.Sprintf("exit code %d, and no word about why", a.code)
	}
	return fmt.Sprintf("%s (exit code %d)", a.said, a.code)
}
