// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/resources"
)

// A node that is off counts as alive for as long as its silence may mean nothing.
func TestGrace(t *testing.T) {
	for most, least := range map[time.Duration]time.Duration{time.Second: fencing.DefaultGrace, 5 * time.Second: 5 * time.Second} {
		c := &resources.Cluster{Heartbeat: resources.Heartbeat{Interval: 50 * time.Millisecond, Suspect: 150 * time.Millisecond, SuspectMax: most}}
		if got := grace(c); got < least || got > least+2*time.Second {
			t.Errorf("suspect_max %s: a node may be heard for %s after it is off", most, got)
		}
	}
}
