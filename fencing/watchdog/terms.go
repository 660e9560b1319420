// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"fmt"
	"time"
)

// Lateness is how much later than its timeout a device may act: the drivers that count in
// ticks of their own, and the kernel's timers, stay below it.
const Lateness = 250 * time.Millisecond

// Terms are the times that have to fit together.
type Terms struct {
	// Lease is how long after a renewal was sent the cluster takes the node for its
	// owner; Margin, how long before that the node itself begins to let go, and how long
	// after that others wait until they take over.
	Lease, Margin time.Duration
	// Timeout is after what time without being fed the device resets the machine: whole
	// seconds, at least one. 0 for [Arm]: the longest that fits.
	Timeout time.Duration
	// Interval is how often the device is fed, if it may be.
	Interval time.Duration
}

// ErrTerms means that the times do not fit: the device would reset the node too late,
// or when it need not.
var ErrTerms = errors.New("the watchdog's times do not fit the lease")

// Fits says whether a device can guard a lease. A renewal that was sent at 0 is worth
// this much:
//
//	lease - margin   the node begins to let go, if no later renewal was confirmed
//	lease + margin   others may take over: by then it has let go, or was reset
//
// A device that is fed at t resets the node at t + timeout, [Lateness] later at most. It
// may be fed no later than
//
//	last = lease + margin - Lateness - timeout
//
// and between 0 and last there has to be time for one feeding, an interval. Feedings
// come an interval apart, so the last one may have been an interval before last, and the
// node may be reset at lease + margin - Lateness - interval: that has to come after it
// has begun to let go, so 2 margins have to be longer than Lateness and an interval. And
// one feeding that comes late must not cost the node: the timeout is two intervals or
// more.
//
// It returns ErrTerms, with what to change.
func Fits(lease, margin, timeout, interval time.Duration) error {
	longest := lease + margin - Lateness - interval
	switch {
	case lease <= 0 || margin <= 0 || timeout <= 0 || interval <= 0:
		return fmt.Errorf("%w: lease %s, margin %s, timeout %s, interval %s: all have to be more than 0", ErrTerms, lease, margin, timeout, interval)
	case timeout > longest:
		return fmt.Errorf("%w: a device that acts after %s would leave a stuck node alive when others take over, %s after its last renewal: its timeout may be %s at most; make the lease longer, or the timeout shorter if the device can",
			ErrTerms, timeout, lease+margin, max(longest, 0).Truncate(time.Second))
	case 2*margin <= Lateness+interval:
		return fmt.Errorf("%w: a margin of %s leaves no time to let go before the device acts: make it longer than %s", ErrTerms, margin, (Lateness+interval)/2)
	case timeout < 2*interval:
		return fmt.Errorf("%w: a timeout of %s is over if one feeding in %s comes late: make it at least %s", ErrTerms, timeout, interval, 2*interval)
	}
	return nil
}

// fits is Fits for a timeout.
func (t Terms) fits(timeout time.Duration) error {
	return Fits(t.Lease, t.Margin, timeout, t.Interval)
}

// wanted is the timeout to ask a device for.
func (t Terms) wanted(d Device) time.Duration {
	if t.Timeout > 0 {
		return roundUp(t.Timeout)
	}
	longest := (t.Lease + t.Margin - Lateness - t.Interval).Truncate(time.Second)
	if d.Max > 0 {
		longest = min(longest, d.Max)
	}
	return longest
}

// roundUp gives whole seconds, which is what devices count in.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
