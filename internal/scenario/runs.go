// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"

	"github.com/mailha/mailha/internal/lab"
)

// Run is one run of a service: another node, or a start of one of its units, make
// another one of it.
type Run struct {
	Node  string
	Units string // their invocations
}

// Runs says how each of the services runs, by its name.
func (s *System) Runs(ctx context.Context) (map[string]Run, error) {
	all := make(map[string]Run)
	for _, p := range s.Parts() {
		n, err := s.Where(ctx, p)
		if err != nil {
			return nil, err
		}
		r := Run{Node: n.Name()}
		for _, unit := range p.units() {
			id, err := invocation(ctx, n, unit)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			r.Units += id + " "
		}
		all[p.Name] = r
	}
	return all, nil
}

// units are all that the service consists of.
func (p Part) units() []string {
	if p.unit == FrontMTAUnit {
		return []string{FrontMTAUnit, FrontUnit, FrontLDAPUnit}
	}
	return []string{p.unit}
}

// invocation changes whenever systemd starts a unit anew.
func invocation(ctx context.Context, n *lab.Node, unit string) (string, error) {
	return n.Output(ctx, "systemctl", "show", "--property=InvocationID", "--value", unit)
}
