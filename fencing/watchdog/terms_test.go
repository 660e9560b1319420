// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const s, ms = time.Second, time.Millisecond

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		name                             string
		lease, margin, timeout, interval time.Duration
		want                             string // in the error; empty: it fits
	}{
		{"the defaults with the longest timeout", 10 * s, 500 * ms, 10 * s, 200 * ms, ""},
		{"a short timeout", 10 * s, 500 * ms, 1 * s, 200 * ms, ""},
		{"the shortest lease", 2 * s, 500 * ms, 2 * s, 200 * ms, ""},
		{"just within", 10 * s, 500 * ms, 10*s + 50*ms, 200 * ms, ""},
		{"just beyond", 10 * s, 500 * ms, 10*s + 51*ms, 200 * ms, "its timeout may be 10s at most"},
		{"the usual timeout of devices", 10 * s, 500 * ms, 60 * s, 200 * ms, "others take over, 10.5s after its last renewal"},
		{"a device that cannot count less than a minute", 20 * s, 1 * s, 60 * s, 200 * ms, "make the lease longer"},
		{"no time to let go", 10 * s, 200 * ms, 5 * s, 200 * ms, "make it longer than 225ms"},
		{"fed too seldom", 10 * s, 2 * s, 1 * s, 600 * ms, "make it at least 1.2s"},
		{"nothing", 0, 0, 0, 0, "all have to be more than 0"},
	} {
		err := Fits(tt.lease, tt.margin, tt.timeout, tt.interval)
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, ErrTerms) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Whatever fits: a node is reset before others take over, not before it has begun to let
// go, and never while it renews its lease.
func TestWhateverFitsGuards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := func(name string, from, to time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(int64(from/ms), int64(to/ms)).Draw(t, name)) * ms
		}
		lease, margin := span("lease", 2*s, 30*s), span("margin", 100*ms, 15*s)
		timeout, interval := span("timeout", s, 40*s).Truncate(s), span("interval", 50*ms, s)
		if Fits(lease, margin, timeout, interval) != nil {
			return
		}
		renew := lease / 3
		last := span("last renewal", 0, 30*s).Truncate(time.Millisecond) / renew * renew
		phase := span("phase", 0, interval)
		d := &double{}
		g := &Guard{terms: Terms{lease, margin, timeout, interval}, timeout: timeout, handle: d}
		d.timeout, d.now = timeout, phase
		_ = d.Feed()
		bitten := time.Duration(0)
		for now := phase; bitten == 0; now += interval {
			if now > d.fed+timeout {
				bitten = d.fed + timeout
				break
			}
			d.now = now
			sent := min(now/renew*renew, last)
			if _, err := g.Feed(func() time.Duration { return sent + lease + margin - d.now }); err != nil {
				t.Fatal(err)
			}
		}
		if bitten < last+lease-margin {
			t.Fatalf("reset at %s, while the last renewal, of %s, was still good until %s", bitten, last, last+lease-margin)
		}
		if bitten+Lateness > last+lease+margin {
			t.Fatalf("reset at %s, too late for the last renewal, of %s: others take over at %s", bitten, last, last+lease+margin)
		}
	})
}

func TestTimeoutToAskFor(t *testing.T) {
	terms := Terms{Lease: 10 * s, Margin: 500 * ms, Interval: 200 * ms}
	for _, tt := range []struct {
		asked, most, want time.Duration
	}{
		{0, 0, 10 * s}, {0, 8 * s, 8 * s}, {0, 600 * s, 10 * s}, {1500 * ms, 0, 2 * s}, {3 * s, 600 * s, 3 * s},
	} {
		terms.Timeout = tt.asked
		if got := terms.wanted(Device{Max: tt.most}); got != tt.want {
			t.Errorf("asked for %s, device up to %s: got %s, want %s", tt.asked, tt.most, got, tt.want)
		}
	}
}
