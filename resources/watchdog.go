// SPDX-License-Identifier: Apache-2.0

package resources

import "time"

// Watchdog is how a node that cannot let go is reset: by a device of its own.
type Watchdog struct {
	Mode WatchdogMode
	// Device is its path; empty: the machine's own, a piece of hardware if there is one.
	Device string
	// Timeout is after what time without being fed it resets the machine, in whole
	// seconds from 1s to 5m; 0: the longest with which every renewal counts.
	Timeout time.Duration
}

// WatchdogMode is whether a node needs one.
type WatchdogMode string

const (
	// WatchdogOff leaves devices alone.
	WatchdogOff WatchdogMode = "off"
	// WatchdogAuto arms one where there is one that fits, and goes on without it where not.
	WatchdogAuto WatchdogMode = "auto"
	// WatchdogRequired has a node run nothing without one.
	WatchdogRequired WatchdogMode = "required"
)

func (c *checker) readWatchdog(s *section) {
	if s == nil {
		s = c.empty("[watchdog]")
	}
	w := &c.cluster.Watchdog
	w.Mode = choice(s, "mode", WatchdogOff, WatchdogOff, WatchdogAuto, WatchdogRequired)
	w.Device = s.path("device", "")
	if k := s.get("timeout"); k != nil {
		w.Timeout = s.duration("timeout", span{time.Second, time.Second, 5 * time.Minute})
		limit := c.cluster.Lease + c.cluster.Margin
		switch {
		case w.Timeout%time.Second != 0:
			s.problem(k.at, "devices count in seconds", "timeout = %q is not in whole seconds", Span(w.Timeout))
		case c.leaseHolds && w.Timeout >= limit:
			s.problem(k.at, "make it shorter, leave it out, or make the lease longer", "timeout = %q would leave a node that cannot let go alive when others take over, %s after its last renewal", Span(w.Timeout), Span(limit))
		}
	}
	s.rest()
}
