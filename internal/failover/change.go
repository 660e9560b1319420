// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"maps"
	"slices"

	"github.com/mailha/mailha/resources"
)

// change is what another configuration means for a resource that runs.
type change int

const (
	none  change = iota // the next look at it goes by the new one
	soft                // its agent reloads
	hard                // it has to be stopped with what it was and started with what it is
	equal               // nothing has changed
)

// compare asks the rules for files, so that a reload does what it was said to do.
func compare(before, after resources.Resource, kinds resources.Kinds) change {
	single := func(r resources.Resource) *resources.Cluster {
		return &resources.Cluster{Groups: []resources.Group{{Name: r.Group, Resources: []resources.Resource{r}}}}
	}
	if before.Kind != after.Kind {
		return hard
	}
	changes := resources.Diff(single(before), single(after), kinds)
	switch {
	case slices.ContainsFunc(changes, func(c resources.Change) bool { return c.Effect == resources.EffectRestart }):
		return hard
	case !maps.Equal(before.Params, after.Params):
		return soft
	case len(changes) > 0:
		return none
	}
	return equal
}

func (e *Engine) compare(before, after resources.Resource) change {
	return compare(before, after, e.kinds)
}
