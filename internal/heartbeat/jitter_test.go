// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mailha/mailha/internal/clock"
)

const ms = time.Millisecond

func TestLimit(t *testing.T) {
	timing := Defaults()
	for name, tt := range map[string]struct {
		gaps     []time.Duration // one a second, until now
		heardFor time.Duration
		interval time.Duration
		want     time.Duration
	}{
		"new":              {nil, time.Second, 50 * ms, time.Second},
		"steady":           {[]time.Duration{50 * ms, 51 * ms}, time.Minute, 50 * ms, 150 * ms},
		"one lost":         {[]time.Duration{50 * ms, 100 * ms, 50 * ms}, time.Minute, 50 * ms, 200 * ms},
		"unsteady":         {[]time.Duration{50 * ms, 400 * ms, 50 * ms}, time.Minute, 50 * ms, 800 * ms},
		"beyond":           {[]time.Duration{900 * ms}, time.Minute, 50 * ms, time.Second},
		"slower peer":      {nil, time.Minute, 200 * ms, 600 * ms},
		"much slower peer": {[]time.Duration{time.Second}, time.Minute, 900 * ms, 2700 * ms},
		"new, and slower":  {nil, time.Second, 900 * ms, 2700 * ms},
	} {
		now := clock.Time(time.Hour)
		var j jitter
		for i, gap := range tt.gaps {
			j.add(now.Add(time.Duration(i-len(tt.gaps))*time.Second), gap)
		}
		if got := timing.limit(&j, now, now.Add(-tt.heardFor), tt.interval); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// The longest gap is remembered for five minutes, half a minute more or less, and
// then no longer.
func TestJitterForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var j jitter
		start := clock.Time(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "start"))
		j.add(start, 300*ms)
		now := start
		for range rapid.IntRange(0, 200).Draw(t, "packets") {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(t, "pause")))
			j.add(now, 50*ms)
			got := j.worst(now)
			switch age := now.Sub(start); {
			case age <= bucketWidth*(bucketCount-1) && got != 300*ms:
				t.Fatalf("after %s it is %s", age, got)
			case age > bucketWidth*bucketCount && got != 50*ms:
				t.Fatalf("after %s it is %s still", age, got)
			}
		}
	})
}
