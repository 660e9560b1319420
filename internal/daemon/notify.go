// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the daemon fares: sd_notify(3). Outside of a unit of
// Type=notify it does nothing.
type notifier struct {
	began    time.Time
	fed      atomic.Int64 // when, in nanoseconds since it began
	interval time.Duration
}

func newNotifier() *notifier {
	n := &notifier{began: time.Now()}
	if every, err := sd.SdWatchdogEnabled(false); err == nil {
		n.interval = every
	}
	return n
}

// alive feeds the watchdog, at most four times in its interval. Only the control loop
// calls it: a loop that hangs shall be ended.
func (n *notifier) alive() {
	const part = 4
	if n.interval == 0 {
		return
	}
	// Not by the time that people read: when that goes back, nothing would be fed until
	// it has come again.
	now, last := int64(time.Since(n.began)), n.fed.Load()
	if time.Duration(now-last) >= n.interval/part && n.fed.CompareAndSwap(last, now) {
		n.tell(sd.SdNotifyWatchdog)
	}
}

func (n *notifier) present(is bool) {
	text := "STATUS=waiting for the cluster"
	if is {
		text = "STATUS=a part of the cluster"
	}
	n.tell(text)
}

func (n *notifier) ready() { n.tell(sd.SdNotifyReady) }

func (n *notifier) stopping() { n.tell(sd.SdNotifyStopping) }

// tell has nobody to complain to.
func (*notifier) tell(text string) { _, _ = sd.SdNotify(false, text) }
