// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
)

// Replicas that are stopped at the same time ask one another who lacks anything, through
// gates that are closed to clients, and wait for nothing that all of them have.
func TestDirectoryStopsTogether(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory()
	p.start(r)
	r.must(t, one, "promote", call{}, success)
	p.written(vip4, "first")
	p.has(two, "first")
	deafen(t, two, one) // so that the stop of one has to wait for it
	p.written(vip4, "second")
	r.must(t, one, "demote", call{}, success)
	waits := r.background(t, one, "stop", call{})
	await(t, patience, "the gate of "+one.Name(), func() bool { return strings.Contains(run(t, one, "nft list tables"), "gate") })
	if a := r.must(t, two, "stop", call{}, success); strings.Contains(a.log, "no other replica can be reached") || !strings.Contains(a.log, "left=0") {
		t.Errorf("it waited for one who can be asked: %s", a)
	}
	undeafen(t, two)
	bare(t, two)
	if a := succeeded(t, waits); !strings.Contains(a.log, "left=1") {
		t.Errorf("a change that nobody else has: %s", a)
	}
	bare(t, one)
}
