// SPDX-License-Identifier: Apache-2.0

package clocks

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// No look is dated before it was, and none later than by the least delay there was and what
// the clocks have drifted meanwhile.
func TestMatched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const drift = 100e-6
		host := time.Unix(1_000_000, 0)
		begin := rapid.Int64Range(0, 1<<50).Draw(t, "begin")
		delays := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 60).Draw(t, "delays in ms")
		var m matched
		now, least := time.Duration(0), time.Hour
		for i := range 3 * turn {
			now += 30 * time.Millisecond
			delay := time.Duration(delays[i%len(delays)]) * time.Millisecond
			least = min(least, delay)
			sent := begin + int64(float64(now)*(1+drift))
			m.hear(host.Add(now+delay), sent)
			slack := time.Duration(drift*float64(2*turn)*30*float64(time.Millisecond)) + time.Microsecond
			switch late := m.time(sent).Sub(host.Add(now)); {
			case late < -slack:
				t.Fatalf("message %d was dated %s before it was sent", i, -late)
			case i >= len(delays) && late > least+slack:
				t.Fatalf("message %d was dated %s after it was sent, and the least delay is %s", i, late, least)
			}
		}
	})
}
