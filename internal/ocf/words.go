// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// Note explains one name to a person.
type Note struct{ Name, Text string }

// Actions explains what a cluster manager may ask of an agent, in the same
// words for every agent: OCF resource agent API 1.1, section 3.2.
func Actions() []Note {
	return []Note{
		{"start", "Brings the resource up, and returns once it serves."},
		{"stop", "Takes the resource down, and returns once it is proved that nothing of it is left on this node. It works with parameters missing or wrong."},
		{"monitor", "Says whether the resource runs and is well, looking as deep as OCF_CHECK_LEVEL asks."},
		{"promote", "Makes the resource, which runs on this node, the one that serves in full, and returns once it does. It refuses when it knows of a reason against it."},
		{"demote", "Makes it one of the others again, which it returns once clients have been served to the end. It works with parameters missing or wrong."},
		{"reload-agent", "Makes changes of reloadable parameters take effect without a restart."},
		{"validate-all", "Checks the parameters by themselves, and against this node as well if OCF_CHECK_LEVEL is 10 or more."},
		{"meta-data", "Prints the agent's metadata as XML."},
	}
}

// Variables explains what an agent reads from its environment beside its
// parameters: OCF resource agent API 1.1, sections 3.3 and 3.4.
func Variables() []Note {
	return []Note{
		{"OCF_RESOURCE_INSTANCE", "The resource's name. The default is \"default\"."},
		{"OCF_CHECK_LEVEL", "How deep to look: 0 (the default) at the state of unit, processes and addresses, 10 at the service's protocol, 20 at a whole piece of the service's work. A level in between means the one below it."},
		{metaPrefix + "interval", "Time between two monitors, in milliseconds. 0, the default, makes a monitor a probe: it asks whether the resource runs on a node where it may never have been."},
		{metaPrefix + "timeout", "Time that the action may take, in milliseconds. The default is the timeout suggested for the action."},
		{"OCF_EXIT_REASON_PREFIX", "What the line on standard error that gives the reason of a failure begins with. The default is \"ocf-exit-reason:\"."},
	}
}

// Remarks are the facts about a parameter beside what its texts say, such as
// "string, required" or "integer, default 3, reloadable".
func Remarks(p agents.Param) string {
	notes := []string{p.Value.OCFType()}
	if p.Required {
		notes = append(notes, "required")
	}
	if def := p.Value.String(); def != "" {
		notes = append(notes, "default "+def)
	}
	if p.Unique != "" {
		notes = append(notes, "unique group "+p.Unique)
	}
	if p.Reloadable {
		notes = append(notes, "reloadable")
	}
	return strings.Join(notes, ", ")
}

// Seconds writes a span of whole seconds as clusters are configured with it.
func Seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
