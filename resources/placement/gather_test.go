// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/resources/placement"
)

// Nodes that are switched on together do not come at the same moment: whoever is first
// does not take what is at home on one that is about to come.
func TestBootTogether(t *testing.T) {
	for _, tt := range []struct {
		name   string
		since  time.Duration // for which n2 is there
		group  placement.Group
		change func(*placement.State)
		want   placement.Action
	}{
		{name: "it is early", since: 4 * time.Second, want: placement.Wait},
		{name: "all have come that will", since: 10 * time.Second, want: placement.Start},
		{name: "where it was", since: time.Second, group: placement.Group{Phase: placement.Free, Last: "n2"}, want: placement.Start},
		{name: "where it was is away", since: time.Second, group: placement.Group{Phase: placement.Free, Last: "n1"}, want: placement.Wait},
		{name: "a witness was there", since: time.Second, want: placement.Start, change: func(s *placement.State) {
			s.Nodes["w"] = placement.Node{Present: true, Since: ago(time.Hour)}
		}},
		{name: "the better one is on standby", since: time.Second, want: placement.Start, change: func(s *placement.State) {
			s.Nodes["n1"] = placement.Node{Standby: order("ann", time.Time{})}
		}},
		{name: "an operator wants it", since: time.Second, want: placement.Start, group: placement.Group{
			Phase: placement.Free, Wish: &placement.Wish{Node: "n2", Order: *order("ann", time.Time{})}}},
		{name: "the better one is there", since: time.Second, want: placement.Start, change: func(s *placement.State) {
			s.Nodes["n1"] = placement.Node{Present: true, Since: noon}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stage(group("mail", "n1 n2 n3"))
			s.Nodes = map[string]placement.Node{"n2": {Present: true, Since: ago(tt.since)}}
			s.Groups["mail"] = tt.group
			if tt.change != nil {
				tt.change(&s)
			}
			plan := placement.Make(s)
			d, _ := plan.Of("mail")
			if d.Action != tt.want {
				t.Errorf("%+v", d)
			}
			if began := ago(tt.since).Add(10 * time.Second); tt.want == placement.Wait &&
				(!d.NotBefore.Equal(began) || plan.Again.After(began) || plan.Again.IsZero() || !strings.Contains(d.Reason, "n1")) {
				t.Errorf("until %s: %+v", plan.Again, d)
			}
		})
	}
}
