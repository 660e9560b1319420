// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/journal"
	"github.com/mailha/mailha/internal/ocf"
)

// providerDir is where a cluster manager looks for our agents: OCF resource
// agent API 1.1, section 3.1.
const providerDir = "/usr/lib/ocf/resource.d/mailha/"

// pageName is that of an agent's page, formed as other projects form theirs.
func pageName(t agents.Type) string { return "ocf_mailha_" + t.Name }

// page writes the manual page of t, which refers to those of the others.
func page(t agents.Type, others []agents.Type, date time.Time) string {
	params := t.New(agents.Env{}).Params()
	m := &mdoc{}
	head(m, t, date)
	synopsis(m, t, params)
	m.macro("Sh DESCRIPTION")
	m.text(t.Long)
	parameters(m, params)
	actions(m, t)
	environment(m)
	files(m, t)
	exitStatus(m, t)
	examples(m, t, params)
	diagnostics(m, t)
	seeAlso(m, others)
	return m.String()
}

const dateLayout = "January 2, 2006"

func head(m *mdoc, t agents.Type, date time.Time) {
	m.macro(`\" SPDX-License-Identifier: Apache-2.0`)
	m.macro(`\" Made from the agent's tables by "make man"; changes belong there.`)
	m.macro("Dd " + date.Format(dateLayout))
	m.macro("Dt %s 7", strings.ToUpper(pageName(t)))
	m.macro("Os mailha")
	m.macro("Sh NAME")
	m.macro("Nm %s", pageName(t))
	m.macro("Nd %s", t.Short)
}

func synopsis(m *mdoc, t agents.Type, params agents.Table) {
	m.macro("Sh SYNOPSIS")
	m.macro("Cm %s", "ocf:mailha:"+t.Name)
	for _, p := range params {
		form := "Op Cm %s Ns = Ns Ar value"
		if p.Required {
			form = "Cm %s Ns = Ns Ar value"
		}
		m.macro(form, p.Name)
	}
}

func parameters(m *mdoc, params agents.Table) {
	m.macro("Sh PARAMETERS")
	m.text(`A cluster manager passes each as OCF_RESKEY_NAME in the environment; a person may write NAME=VALUE after the action. An empty value means that the parameter is not given. Spans of time are written like 500ms, 20s or 2m; a bare number counts seconds.

A change of a reloadable parameter takes effect without a restart of the resource. The values of a unique group, taken together, must differ between any two resources of a cluster.`)
	m.macro("Bl -tag -width Ds")
	for _, p := range params {
		m.macro("It Cm %s Pq %s", p.Name, ocf.Remarks(p))
		m.text(p.Short + ". " + p.Long)
	}
	m.macro("El")
}

func actions(m *mdoc, t agents.Type) {
	m.macro("Sh ACTIONS")
	m.macro("Bl -tag -width Ds")
	for _, n := range ocf.Actions() {
		declared := slices.DeleteFunc(slices.Clone(t.Actions), func(a agents.Action) bool { return a.Name != n.Name })
		if len(declared) == 0 {
			continue
		}
		m.macro("It Cm %s", n.Name)
		m.text(n.Text)
		for _, a := range declared {
			m.text(suggestion(a))
		}
	}
	m.macro("El")
}

func suggestion(a agents.Action) string {
	if a.Interval == 0 {
		return fmt.Sprintf("Suggested timeout: %s.", ocf.Seconds(a.Timeout))
	}
	as := ""
	if a.Role != "" {
		as = ", role " + string(a.Role)
	}
	return fmt.Sprintf("Suggested at depth %d%s: interval %s, timeout %s.", a.Depth, as, ocf.Seconds(a.Interval), ocf.Seconds(a.Timeout))
}

func environment(m *mdoc) {
	m.macro("Sh ENVIRONMENT")
	m.macro("Bl -tag -width Ds")
	for _, n := range ocf.Variables() {
		m.macro("It Ev %s", n.Name)
		m.text(n.Text)
	}
	m.macro("El")
}

func files(m *mdoc, t agents.Type) {
	m.macro("Sh FILES")
	m.macro("Bl -tag -width Ds")
	m.macro("It Pa %s", providerDir+t.Name)
	m.text("The agent: a link to the program mailha-ocf.")
	m.macro("It Pa %s", ocf.StateDir)
	m.text("What a start notes for the calls that follow it, in a file for each resource. A boot empties it.")
	m.macro("El")
}

func exitStatus(m *mdoc, t agents.Type) {
	m.macro("Sh EXIT STATUS")
	m.macro("Bl -tag -width Ds")
	for _, c := range ocf.Codes(t) {
		m.macro("It %s Pq %s", fmt.Sprint(int(c)), c.String())
		m.text(c.Meaning())
	}
	m.macro("El")
}

func diagnostics(m *mdoc, t agents.Type) {
	m.macro("Sh DIAGNOSTICS")
	m.text("Standard error has one line that gives the reason whenever an action fails, and lines of a log beside it. Pacemaker keeps them only then.")
	m.macro("Pp")
	m.text("The same lines are in systemd's journal, whether an action failed or not. A monitor that finds nothing wrong leaves none. Each has the fields MAILHA_RESOURCE, MAILHA_AGENT and MAILHA_ACTION, and one for each figure that it names:")
	m.literal(
		"journalctl -t "+journal.Identifier,
		"journalctl MAILHA_RESOURCE=mail-"+t.Name,
		"journalctl MAILHA_AGENT="+t.Name+" MAILHA_ACTION=stop -o verbose",
	)
	m.text("Under mailhad they are in its own log:")
	m.literal("journalctl -u mailhad | grep mail-" + t.Name)
}

func seeAlso(m *mdoc, others []agents.Type) {
	m.macro("Sh SEE ALSO")
	m.macro("Xr journalctl 1 ,")
	names := make([]string, len(others))
	for i, t := range others {
		names[i] = pageName(t)
	}
	slices.Sort(names)
	for _, name := range names {
		m.macro("Xr %s 7 ,", name)
	}
	m.macro("Xr crm 8 ,")
	m.macro("Xr mailha-ocf 8 ,")
	m.macro("Xr pcs 8")
}
