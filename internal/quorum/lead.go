// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"fmt"
)

// Leads says whether this member leads, as far as it knows itself.
func (m *Member) Leads() bool { return m.etcd.Server.Leader() == m.etcd.Server.MemberID() }

// Voters are the names of the members that have started and count for a majority, as
// this one knows them.
func (m *Member) Voters() []string {
	var names []string
	for _, p := range m.etcd.Server.Cluster().Members() {
		if p.Name != "" && !p.IsLearner {
			names = append(names, p.Name)
		}
	}
	return names
}

// Yield hands the leadership to another voter, and waits until that one has it. Writes
// that come meanwhile are refused by etcd, and tried again by their clients. It does
// nothing if this member does not lead; it returns ErrNoMember.
func (m *Member) Yield(ctx context.Context, name string) error {
	if !m.Leads() {
		return nil
	}
	for _, p := range m.etcd.Server.Cluster().Members() {
		if p.Name != name || p.IsLearner {
			continue
		}
		if err := m.etcd.Server.MoveLeader(ctx, uint64(m.ID()), uint64(p.ID)); err != nil {
			return fmt.Errorf("hand the leadership of etcd to %s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("hand the leadership of etcd to %s: %w", name, ErrNoMember)
}
