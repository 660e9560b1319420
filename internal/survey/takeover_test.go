// SPDX-License-Identifier: Apache-2.0

package survey

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// A group that needs its lost node off waits for that, however long the lease has ended.
func TestTakeover(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := clock.Time(time.Hour)
	owned := state.Group{Name: "store", Owner: "n1", Epoch: 3, Phase: state.Running, Rev: 7}
	word := state.Wish{Kind: state.Fenced, Node: "n1", Since: now.Add(-time.Second), Rev: 9}
	for _, tt := range []struct {
		name     string
		takeover resources.Takeover
		phase    state.Phase
		gone     bool
		wishes   []state.Wish
		free     bool
	}{
		{"the node is there", resources.TakeoverLease, state.Running, false, nil, false},
		{"the lease has ended", resources.TakeoverLease, state.Running, true, nil, true},
		{"it says nothing", "", state.Running, true, nil, true},
		{"what could not be stopped", resources.TakeoverLease, state.Failed, true, nil, false},
		{"the lease is not enough", resources.TakeoverFenced, state.Running, true, nil, false},
		{"an operator's word", resources.TakeoverFenced, state.Running, true, []state.Wish{word}, true},
	} {
		c := &resources.Cluster{Margin: time.Second, Groups: []resources.Group{{Name: "store", Takeover: tt.takeover}}}
		g := owned
		g.Phase = tt.phase
		s := state.Snapshot{Groups: map[string]state.Group{"store": g}, Wishes: tt.wishes}
		if tt.gone {
			s.Gone = map[string]clock.Time{"n1": at.Add(-time.Minute)}
		}
		p := State(s, c, now, at)
		if free := p.Groups["store"].FreeAt; free.IsZero() == tt.free || tt.free && free.After(now) {
			t.Errorf("%s: free at %v, want free: %t", tt.name, free, tt.free)
		}
	}
}
