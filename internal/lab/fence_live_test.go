// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// The agent as Pacemaker runs it, inside a node, against a node.
func TestFenceAgentInNode(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 2})
	n1, n2 := l.Node("node1"), l.Node("node2")
	agent := func(options ...string) lab.Result {
		t.Helper()
		cmd := append([]string{"sh", "-c", `printf '%s\n' "$@" | /usr/sbin/fence_lab`, "sh"}, options...)
		r, err := n1.Exec(t.Context(), cmd...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := agent("action=list"); r != (lab.Result{Stdout: "node1,\nnode2,\n"}) {
		t.Errorf("list: %+v", r)
	}
	if _, err := n1.Output(t.Context(), "stonith_admin", "--metadata", "--agent", "fence_lab"); err != nil {
		t.Error(err)
	}
	first, err := n2.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	if r := agent("action=reboot", "plug=node2"); r.ExitCode != 0 {
		t.Errorf("reboot: %+v", r)
	}
	if second, err := n2.LeaderPID(); err != nil || second == first {
		t.Errorf("after the reboot PID 1 is %d, %v; it was %d before", second, err, first)
	}
	if r := agent("action=off", "plug=node2"); r.ExitCode != 0 || n2.Running() {
		t.Errorf("off: %+v, running: %v", r, n2.Running())
	}
	if r := agent("action=status", "plug=node2"); r.ExitCode != 2 {
		t.Errorf("status of a node that is off: %+v", r)
	}
	if r := agent("action=on", "plug=node2"); r.ExitCode != 0 || !n2.Running() {
		t.Errorf("on: %+v, running: %v", r, n2.Running())
	}
	if r := agent("action=off", "plug=node3"); r.ExitCode != 1 || !strings.Contains(r.Stderr, "node3") {
		t.Errorf("unknown node: %+v", r)
	}
	// A node may fence itself: the agent dies with it, its work does not.
	if r, err := n1.Exec(t.Context(), "sh", "-c", "printf 'action=off\nplug=node1\n' | fence_lab"); err == nil && r.ExitCode == 0 {
		t.Errorf("the agent outlived its node: %+v", r)
	}
	h, err := l.FenceHistory()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range h {
		got = append(got, e.Action+" "+e.Node)
	}
	// The node's own end may come before the server has written it down.
	want := "reboot node2, off node2, on node2, off node3"
	if s := strings.Join(got, ", "); s != want && s != want+", off node1" {
		t.Errorf("history: got %q, want %q", s, want)
	}
	untilOff(t, n1)
}
