// SPDX-License-Identifier: Apache-2.0

package resources

import "time"

// Failback is when a group that runs well goes back to a node that it prefers.
// The zero value is never.
type Failback struct {
	// Always: as soon as that node has been there for the group's stickiness.
	Always bool
	// Days and the minutes of the day bound the time in which it may, by the
	// clock of the node that decides. No days, and not Always: never. An end that
	// is not after the start is on the next day.
	Days     []time.Weekday
	From, To int // minutes since midnight, 0 to 1440
}
