// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSlowDiskIsSeen(t *testing.T) {
	registry := prometheus.NewRegistry()
	fsync := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "etcd_disk_wal_fsync_duration_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
	registry.MustRegister(fsync)
	var d disk
	observe := func(n int, each time.Duration) {
		for range n {
			fsync.Observe(each.Seconds())
		}
	}
	want := func(want time.Duration) {
		t.Helper()
		if got, commit := d.read(registry); got != want || commit != 0 {
			t.Errorf("got %s and %s, want %s", got, commit, want)
		}
	}
	want(0)
	observe(1000, 500*time.Microsecond)
	want(time.Millisecond)
	observe(98, 500*time.Microsecond) // what was before does not hide it
	observe(2, 100*time.Millisecond)
	want(128 * time.Millisecond)
	observe(10, time.Minute)
	want(16384 * time.Millisecond)
	want(0)
}

func TestWarnings(t *testing.T) {
	good := Health{ID: 1, Leader: 2, Size: 1 << 20, Quota: quota, Fsync: 4 * time.Millisecond, Commit: 16 * time.Millisecond}
	good.warn("/d")
	if len(good.Warnings) != 0 {
		t.Errorf("got %q", good.Warnings)
	}
	bad := Health{Size: quota, Quota: quota, Alarms: []string{"NOSPACE", "CORRUPT"}, Fsync: time.Second, Majority: errors.New("x")}
	bad.warn("/d")
	all := strings.Join(bad.Warnings, "\n")
	for _, word := range []string{"no leader", "disk below /d is slow", "256 MB of 256", "alarm disarm", "replace-member"} {
		if !strings.Contains(all, word) {
			t.Errorf("%q is not in:\n%s", word, all)
		}
	}
}
