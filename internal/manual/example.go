// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/ocf"
)

// examples shows how the agent's example is configured, and checked by hand.
func examples(m *mdoc, t agents.Type, params agents.Table) {
	values := strings.Join(assignments(t, params), " ")
	resource := fmt.Sprintf("mail-%s ocf:mailha:%s", t.Name, t.Name)
	crmsh := append([]string{"crm configure primitive " + resource, "params " + values}, operations(t)...)
	pcs := append([]string{"pcs resource create " + resource, values}, operations(t)...)
	promotable := slices.ContainsFunc(t.Actions, func(a agents.Action) bool { return a.Name == "promote" })
	if promotable {
		pcs = append(pcs, "promotable")
	}
	m.macro("Sh EXAMPLES")
	m.text("With crmsh:")
	m.literal(continued(crmsh)...)
	if promotable {
		m.literal(fmt.Sprintf("crm configure clone mail-%s-clone mail-%[1]s meta promotable=true", t.Name))
	}
	m.macro("Pp")
	m.text("With pcs:")
	m.literal(continued(pcs)...)
	m.macro("Pp")
	m.text("By hand, to see whether this node could run it:")
	m.literal(continued([]string{"OCF_CHECK_LEVEL=10 mailha-ocf " + t.Name + " validate-all", values})...)
}

// assignments are the example's parameters in the order of the table.
func assignments(t agents.Type, params agents.Table) []string {
	var texts []string
	for _, p := range params {
		if value, ok := t.Example[p.Name]; ok {
			texts = append(texts, p.Name+"="+value)
		}
	}
	return texts
}

// operations are those that a cluster manager schedules by itself, with the
// figures that the agent suggests. Both shells write them alike.
func operations(t agents.Type) []string {
	var ops []string
	for _, a := range t.Actions {
		if !slices.Contains([]string{"start", "stop", "promote", "demote", "monitor"}, a.Name) {
			continue
		}
		op := fmt.Sprintf("op %s interval=%s timeout=%s", a.Name, ocf.Seconds(a.Interval), ocf.Seconds(a.Timeout))
		if a.Role != "" {
			op += " role=" + string(a.Role)
		}
		if a.Depth > agents.DepthShallow {
			op += fmt.Sprintf(" OCF_CHECK_LEVEL=%d", a.Depth)
		}
		ops = append(ops, op)
	}
	return ops
}

// continued makes one command of several lines.
func continued(lines []string) []string {
	texts := slices.Clone(lines)
	for i := range texts {
		if i > 0 {
			texts[i] = "    " + texts[i]
		}
		if i < len(texts)-1 {
			texts[i] += ` \`
		}
	}
	return texts
}
