// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mailha/mailha/resources"
)

// Problem is what is wrong with a device, seen from its agent.
type Problem struct {
	Param string // the parameter or secret that it is about; empty: the device
	What  string
	Hint  string // may be empty
}

func (p Problem) String() string {
	if p.Hint == "" {
		return p.What
	}
	return p.What + "; " + p.Hint
}

// Problems compares a device with what its agent says of itself.
func (m *Metadata) Problems(d Device) []Problem {
	all := m.unable(d)
	names := slices.Sorted(maps.Keys(d.Parameters))
	for _, name := range slices.Concat(names, slices.Sorted(maps.Keys(d.Secrets))) {
		p, ok := m.Param(name)
		if !ok {
			all = append(all, Problem{name, fmt.Sprintf("%s has no parameter %q", d.Agent, name), resources.DidYouMean(name, m.known())})
			continue
		}
		value, set := d.Parameters[name]
		if what, hint := p.refuses(value); set && what != "" {
			all = append(all, Problem{name, fmt.Sprintf("parameter %s = %q %s", name, value, what), hint})
		}
	}
	for _, p := range m.Params {
		if m.missing(d, p) {
			all = append(all, Problem{"", fmt.Sprintf("%s needs parameter %q", d.Agent, p.Name), ""})
		}
	}
	return all
}

// unable says which of what is asked of a device its agent cannot do.
func (m *Metadata) unable(d Device) []Problem {
	var all []Problem
	off, canOff := m.Action(askOff)
	_, canOn := m.Action(askOn)
	_, canReboot := m.Action(string(Reboot))
	_, canStatus := m.Action(askStatus)
	switch {
	case !canOff:
		all = append(all, Problem{"", fmt.Sprintf("%s cannot switch anything off", d.Agent), "take another agent: what is only restarted cannot be proved to be off"})
	case bool(off.OnTarget):
		all = append(all, Problem{"", fmt.Sprintf("%s switches off from within the lost node only", d.Agent), "take another agent"})
	case !canStatus:
		all = append(all, Problem{"", fmt.Sprintf("%s cannot tell whether anything is off", d.Agent), "take another agent: without the status nothing proves that a node is off"})
	case d.Action == Reboot && !canReboot:
		all = append(all, Problem{"", fmt.Sprintf("%s cannot reboot: it cuts a node off from something, and does not switch it off", d.Agent), `write action = "off"`})
	case d.Action == Reboot && !canOn && !d.cycles():
		all = append(all, Problem{"", fmt.Sprintf("%s cannot switch on again", d.Agent), `write action = "off"`})
	}
	if m.Unfences() && !d.LeavesOn {
		all = append(all, Problem{"", fmt.Sprintf("%s shuts a node out of something, and leaves it on", d.Agent), "write leaves_on = true, or mailhad waits for its silence"})
	}
	return all
}

// known lists the parameters that a person may set.
func (m *Metadata) known() []string {
	var names []string
	for _, p := range m.Params {
		if !slices.Contains(given(), p.Name) && !bool(p.Deprecated) && !slices.Contains(forPeople(), p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// forPeople are parameters of the command line.
func forPeople() []string { return []string{"help", "version"} }

// missing says whether a parameter has to be set and is not, under none of its names.
func (m *Metadata) missing(d Device, p MetadataParam) bool {
	has := func(name string) bool {
		_, open := d.Parameters[name]
		_, secret := d.Secrets[name]
		return open || secret || slices.Contains(given(), name)
	}
	if !bool(p.Required) || p.Content.Default != nil || has(p.Name) || p.Obsoletes != "" && has(p.Obsoletes) {
		return false
	}
	if !bool(p.Deprecated) {
		return true
	}
	// Its new name tells, if there is one.
	return !slices.ContainsFunc(m.Params, func(o MetadataParam) bool { return o.Obsoletes == p.Name })
}

// refuses says what is wrong with a value.
func (p MetadataParam) refuses(value string) (what, hint string) {
	switch p.Content.Type {
	case "integer":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return "is no whole number", ""
		}
	case "second":
		if n, err := strconv.ParseFloat(value, 64); err != nil || !(n >= 0) {
			return "is no number of seconds", "write the number alone"
		}
	case "boolean":
		if !slices.Contains([]string{"0", "1", "true", "false", "yes", "no", "on", "off"}, strings.ToLower(value)) {
			return "is neither true nor false", ""
		}
	case "select":
		var all []string
		for _, o := range p.Content.Options {
			all = append(all, o.Value)
		}
		if len(all) > 0 && !slices.Contains(all, value) {
			return "is not known to the agent", resources.DidYouMean(value, all)
		}
	}
	return "", ""
}
