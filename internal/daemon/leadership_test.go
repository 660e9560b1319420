// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

func three(witness string) *resources.Cluster {
	c := &resources.Cluster{}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.Nodes = append(c.Nodes, resources.Node{Name: name, Witness: name == witness})
	}
	return c
}

// owners are groups g1, g2 ... with their owners.
func owners(present []string, names ...string) state.Snapshot {
	s := state.Snapshot{Nodes: map[string]state.Node{}, Groups: map[string]state.Group{}}
	for _, n := range present {
		s.Nodes[n] = state.Node{Name: n}
	}
	for i, n := range names {
		name := "g" + string(rune('1'+i))
		s.Groups[name] = state.Group{Name: name, Owner: n, Rev: int64(i + 1)}
	}
	return s
}

func TestSuccessor(t *testing.T) {
	all := []string{"n1", "n2", "n3"}
	stale := owners(all, "n1")
	stale.Stale = errors.New("old")
	for name, c := range map[string]struct {
		snapshot state.Snapshot
		witness  string
		voters   []string
		want     string
	}{
		"owns nothing":                    {owners(all, "n2"), "", all, ""},
		"free groups are nobody's":        {owners(all, ""), "", all, ""},
		"an idle node":                    {owners(all, "n1"), "", all, "n2"},
		"the witness before an idle node": {owners(all, "n1"), "n3", all, "n3"},
		"the only idle node":              {owners(all, "n1", "n2"), "", all, "n3"},
		"nobody is idle":                  {owners(all, "n1", "n2", "n3"), "", all, ""},
		"the idle node is away":           {owners([]string{"n1", "n2"}, "n1", "n2"), "", all, ""},
		"the idle node does not vote":     {owners(all, "n1"), "", []string{"n1", "n3"}, "n3"},
		"nothing is known for sure":       {stale, "", all, ""},
	} {
		if got := successor("n1", c.snapshot, three(c.witness), c.voters); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// led is a member that leads until it has yielded.
type led struct {
	leads bool
	fails bool
	to    []string
	at    []time.Duration
	since time.Time
	// silent is how long another node looks dead.
	silent time.Duration
}

func (l *led) Leads() bool      { return l.leads }
func (l *led) Voters() []string { return []string{"n1", "n2", "n3"} }
func (l *led) Yield(_ context.Context, to string) error {
	l.to, l.at = append(l.to, to), append(l.at, time.Since(l.since))
	if l.fails {
		return errors.New("it will not have it")
	}
	l.leads = false
	return nil
}

func TestYield(t *testing.T) {
	run := func(t *testing.T, l *led, d time.Duration, snapshot func() state.Snapshot) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			l.since = time.Now()
			hearts := func() heartbeat.View {
				v := heartbeat.View{Nodes: []heartbeat.Sight{{Node: "n2", State: heartbeat.Alive}, {Node: "n3"}}}
				if time.Since(l.since) < l.silent {
					v.Nodes[1].State = heartbeat.Suspect
				}
				return v
			}
			yield(ctx, "n1", l, snapshot, func() *resources.Cluster { return three("") }, hearts, slog.New(slog.DiscardHandler))
		})
	}
	all := []string{"n1", "n2", "n3"}
	t.Run("in quiet times", func(t *testing.T) {
		l := &led{leads: true}
		run(t, l, time.Minute, func() state.Snapshot { return owners(all, "n1") })
		if !slices.Equal(l.to, []string{"n2"}) || l.at[0] > 10*time.Second {
			t.Errorf("yielded to %v at %v", l.to, l.at)
		}
	})
	t.Run("not while groups change", func(t *testing.T) {
		l, rev := &led{leads: true}, int64(0)
		run(t, l, time.Minute, func() state.Snapshot {
			s := owners(all, "n1")
			rev++
			s.Groups["g1"] = state.Group{Name: "g1", Owner: "n1", Rev: rev}
			return s
		})
		if len(l.to) > 0 {
			t.Errorf("yielded to %v", l.to)
		}
	})
	t.Run("not again and again", func(t *testing.T) {
		l := &led{leads: true, fails: true}
		run(t, l, time.Minute, func() state.Snapshot { return owners(all, "n1") })
		if len(l.to) != 2 {
			t.Errorf("tried at %v, want it twice a minute", l.at)
		}
	})
	t.Run("not while a node may be about to be missed", func(t *testing.T) {
		l := &led{leads: true, silent: 20 * time.Second}
		run(t, l, time.Minute, func() state.Snapshot { return owners(all, "n1") })
		if !slices.Equal(l.to, []string{"n2"}) || l.at[0] < l.silent {
			t.Errorf("yielded to %v at %v", l.to, l.at)
		}
	})
	t.Run("not without leading", func(t *testing.T) {
		l := &led{}
		run(t, l, time.Minute, func() state.Snapshot { return owners(all, "n1") })
		if len(l.to) > 0 {
			t.Errorf("yielded to %v", l.to)
		}
	})
}
