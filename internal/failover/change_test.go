// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

func TestReload(t *testing.T) {
	base := func() []resources.Resource {
		return []resources.Resource{thingOf("a"), thingOf("b", "a"), thingOf("c")}
	}
	params := func(r resources.Resource, name, value string) resources.Resource {
		r.Params = map[string]string{name: value}
		return r
	}
	for _, tt := range []struct {
		name string
		to   func([]resources.Resource) []resources.Resource
		want string
	}{
		{"nothing", func(r []resources.Resource) []resources.Resource { return r }, ""},
		{"soft", func(r []resources.Resource) []resources.Resource { r[0] = params(r[0], "soft", "x"); return r }, "reload a"},
		{"hard", func(r []resources.Resource) []resources.Resource { r[0] = params(r[0], "hard", "x"); return r }, "stop a, start a"},
		{"kind", func(r []resources.Resource) []resources.Resource { r[2] = kindOf("mta", r[2]); return r }, "stop c, start c"},
		{"removed", func(r []resources.Resource) []resources.Resource { return r[:2] }, "stop c"},
		{"new", func(r []resources.Resource) []resources.Resource { return append(r, thingOf("d", "a")) }, "start d"},
		{"times", func(r []resources.Resource) []resources.Resource {
			r[0].Monitors = []resources.Monitor{{Interval: time.Second, Timeout: time.Second}}
			r[0].StopTimeout = time.Minute
			return r
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.pass(time.Second)
				h.story = nil
				g := h.group
				g.Resources = tt.to(slices.Clone(g.Resources))
				s := h.shape(g)
				h.tenure.order(order{shape: &s})
				if tt.name == "times" { // a second file comes before anybody has looked at the first
					g.Resources = slices.Clone(g.Resources)
					g.Resources[0].StopTimeout++
					again := h.shape(g)
					h.tenure.order(order{shape: &again})
				}
				h.pass(time.Second)
				if got := h.world.order(); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				all := map[string]condition{}
				for _, r := range g.Resources {
					all[r.Name] = up
				}
				h.want(state.Running, all)
				if n := len(h.standing().views); n != len(g.Resources) {
					t.Errorf("%d resources: %+v", n, h.standing().views)
				}
				h.fail("a") // the watch goes by the new file
				h.pass(11 * time.Second)
				h.want(state.Running, all)
				if len(h.failed()) != 1 {
					t.Error(h.failed())
				}
			}, base()...)
		})
	}
}
