// SPDX-License-Identifier: Apache-2.0

package resources

// Change is one effect of a new file on a cluster that runs by an old one.
type Change struct {
	Effect Effect
	// Group and Resource are empty where it is not about one.
	Group, Resource string
	// Keys are what has changed, as the file has them.
	Keys []string
	Text string // one sentence for people
}

// Effect is what a reload does about a change.
type Effect string

const (
	EffectStart   Effect = "start"   // a resource or group is new
	EffectStop    Effect = "stop"    // a resource or group is gone
	EffectRestart Effect = "restart" // a resource needs one
	EffectMove    Effect = "move"    // a group may have to go elsewhere
	EffectAdjust  Effect = "adjust"  // takes effect without a restart of a resource
	EffectRefuse  Effect = "refuse"  // cannot be changed by a reload
)
