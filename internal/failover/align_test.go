// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"testing"
	"time"
)

// What runs everywhere is tried again soon, less and less often, and never after more
// than the window; where its group waits for it, always soon.
func TestStandbyRests(t *testing.T) {
	const window = time.Minute
	s := &standby{}
	at := time.Now()
	for n, want := range []time.Duration{10, 20, 40, 60, 60} {
		s.fail(failure{number: n + 1, at: at}, window)
		if got := s.rest(window, false); got != want*time.Second {
			t.Errorf("after %d failures: got %s, want %s", n+1, got, want*time.Second)
		}
		if got := s.rest(window, true); got != 10*time.Second {
			t.Errorf("after %d failures, where its group is: got %s", n+1, got)
		}
		at = at.Add(window)
	}
	s.fail(failure{number: 6, at: at.Add(time.Second)}, window)
	if got := s.rest(window, false); got != 10*time.Second || s.count != 6 {
		t.Errorf("after a quiet time: got %s, %d", got, s.count)
	}
	if got := s.rest(time.Second, false); got != time.Second {
		t.Errorf("a short window: got %s", got)
	}
}
