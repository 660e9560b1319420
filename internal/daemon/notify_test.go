// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"os"
	"testing"
	"time"
)

// What the loop says is passed on again and again, whatever time it is for people: the
// notifier knows only how long it has been there.
func TestLoopFeedsTheWatchdog(t *testing.T) {
	path := t.TempDir() + "/notify"
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "")
	os.Unsetenv("WATCHDOG_PID")
	n := newNotifier()
	if n.interval != 40*time.Millisecond {
		t.Fatalf("interval %s", n.interval)
	}
	b := make([]byte, 64)
	for range 3 {
		l.SetReadDeadline(time.Now().Add(5 * time.Second))
		done := make(chan struct{})
		go func() { defer close(done); time.Sleep(n.interval / 4); n.alive() }()
		size, err := l.Read(b)
		if err != nil || string(b[:size]) != "WATCHDOG=1" {
			t.Fatalf("got %q, %v", b[:size], err)
		}
		<-done
	}
	if fed := time.Duration(n.fed.Load()); fed <= 0 || fed > time.Minute {
		t.Errorf("fed %s after the notifier was made", fed)
	}
}
