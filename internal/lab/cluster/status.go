// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/xml"
	"fmt"
	"slices"
)

// Status is what crm_mon(8) says in XML, as far as tests need it.
type Status struct {
	DC struct {
		Present bool   `xml:"present,attr"`
		Name    string `xml:"name,attr"`
		Quorum  bool   `xml:"with_quorum,attr"`
	} `xml:"summary>current_dc"`
	Nodes []struct {
		Name    string `xml:"name,attr"`
		Online  bool   `xml:"online,attr"`
		Unclean bool   `xml:"unclean,attr"`
		Pending bool   `xml:"pending,attr"`
		Standby bool   `xml:"standby,attr"`
	} `xml:"nodes>node"`
	Resources []Resource `xml:"resources>resource"`
	Groups    []Group    `xml:"resources>group"`
	Clones    []Group    `xml:"resources>clone"`
}

// Resource is one resource and where it is active.
type Resource struct {
	ID     string `xml:"id,attr"`
	Role   string `xml:"role,attr"` // Started, Stopped, Promoted ...
	Failed bool   `xml:"failed,attr"`
	Nodes  []struct {
		Name string `xml:"name,attr"`
	} `xml:"node"`
}

// Group is a group or a clone.
type Group struct {
	ID        string     `xml:"id,attr"`
	Resources []Resource `xml:"resource"`
}

// Status asks a node for the state of the cluster.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	out, err := c.Output(ctx, "crm_mon", "--one-shot", "--inactive", "--output-as=xml")
	if err != nil {
		return nil, err
	}
	return parseStatus([]byte(out))
}

func parseStatus(data []byte) (*Status, error) {
	var s Status
	if err := xml.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("crm_mon: %w", err)
	}
	return &s, nil
}

func (s *Status) online(node string) bool {
	for _, n := range s.Nodes {
		if n.Name == node {
			return n.Online && !n.Pending && !n.Unclean
		}
	}
	return false
}

// all lists the resources, within groups and clones too; a clone has several of
// one name.
func (s *Status) all() []Resource {
	all := slices.Clone(s.Resources)
	for _, g := range slices.Concat(s.Groups, s.Clones) {
		all = append(all, g.Resources...)
	}
	return all
}

func (s *Status) resource(id string) *Resource {
	for _, r := range s.all() {
		if r.ID == id {
			return &r
		}
	}
	return nil
}

func (s *Status) runsOn(id, node string) bool {
	for _, r := range s.all() {
		if r.ID != id || r.Role != "Started" && r.Role != "Promoted" {
			continue
		}
		for _, n := range r.Nodes {
			if n.Name == node {
				return true
			}
		}
	}
	return false
}
