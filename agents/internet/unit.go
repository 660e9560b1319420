// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"fmt"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// unitBackend is a daemon about which nothing is known but its unit.
type unitBackend struct {
	unit  agents.UnitName
	param string // that names it
	units agents.Units
}

// Inspect asks systemd for the unit's own view of itself.
func (b *unitBackend) Inspect(ctx context.Context) (agents.Facts, error) {
	if b.unit == "" {
		return agents.Facts{}, fmt.Errorf("%w: %s must be set", agents.ErrParameter, b.param)
	}
	facts := agents.Facts{Unit: string(b.unit)}
	state, err := b.units.State(ctx, facts.Unit)
	facts.Process = process.Match{ControlGroup: state.ControlGroup}
	return facts, err
}

// Drain has nothing to add: such a daemon has no work in hand but its sessions.
func (*unitBackend) Drain(context.Context, agents.Facts, func(int)) (int, error) { return 0, nil }

func newUnitPart(a *agent, name family, what string) *part {
	b := &unitBackend{param: string(name) + "_unit", units: a.env.Units}
	return newPart(a, name, b, agents.Table{{Name: b.param, Value: &b.unit, Unique: b.param,
		Short: "Systemd unit that speaks " + what,
		Long:  "Its full name, such as example.service. It must not be enabled: the cluster starts it. Needed if one of its protocols is wanted."}})
}

func newMailboxes(a *agent) *part { return newUnitPart(a, mailboxes, "IMAP and POP3") }

func newDirectory(a *agent) *part { return newUnitPart(a, directory, "LDAP") }
