// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Health is how the member and its cluster are.
type Health struct {
	ID      uint64 // of this member
	Leader  uint64 // the member that leads, as far as this one knows; 0 is none
	Learner bool
	// Majority says that a majority confirmed a read just now. nil is yes.
	Majority error
	// Size is of the database in bytes, Quota what it may have.
	Size, Quota int64
	Alarms      []string // such as NOSPACE; the cluster takes no writes until they are disarmed
	// Fsync and Commit are how long a write took to reach the disk, in the log and
	// in the database, for 99 of 100 since Health was asked last. 0: there was none.
	Fsync, Commit time.Duration
	// Warnings are sentences for the operator, each with what to do.
	Warnings []string
}

// What etcd's own documentation asks of a disk: 99 of 100 writes below these
// (etcd.io, FAQ, "What does the etcd warning ... mean").
const (
	slowFsync  = 10 * time.Millisecond
	slowCommit = 25 * time.Millisecond
)

// Health asks. It takes as long as ctx allows if there is no majority.
func (m *Member) Health(ctx context.Context) Health {
	server := m.etcd.Server
	h := Health{
		ID: uint64(server.MemberID()), Leader: uint64(server.Leader()), Learner: m.Learner(),
		Size: server.Backend().Size(), Quota: quota,
	}
	for _, a := range server.Alarms() {
		h.Alarms = append(h.Alarms, etcdserverpb.AlarmType_name[int32(a.Alarm)])
	}
	if _, err := m.client.Get(ctx, "health"); err != nil { // of a key that need not be there
		h.Majority = fmt.Errorf("no majority of etcd's members answers: %w", err)
	}
	h.Fsync, h.Commit = m.disk.read(prometheus.DefaultGatherer)
	h.warn(m.cfg.Dir)
	return h
}

func (h *Health) warn(dir string) {
	add := func(format string, args ...any) { h.Warnings = append(h.Warnings, fmt.Sprintf(format, args...)) }
	if h.Leader == 0 {
		add("etcd has no leader: most of the members must run and reach one another; see \"mailhactl status\"")
	}
	if h.Fsync > slowFsync || h.Commit > slowCommit {
		add("the disk below %s is slow (99 of 100 writes within %s to the log, %s to the database; %s and %s are wanted): "+
			"put data_dir on a disk that the mail spool is not on, or leases may be lost under load", dir, h.Fsync, h.Commit, slowFsync, slowCommit)
	}
	if h.Size > h.Quota*8/10 {
		add("etcd's database has %d MB of %d: run \"etcdctl defrag\" on each member", h.Size>>20, h.Quota>>20)
	}
	if slices.Contains(h.Alarms, "NOSPACE") {
		add("etcd takes no writes because its database was full: run \"etcdctl defrag\" on each member, then \"etcdctl alarm disarm\"")
	}
	if slices.Contains(h.Alarms, "CORRUPT") {
		add("a member of etcd has other data than the rest: run \"mailhactl cluster replace-member\" for the one that the log names")
	}
}

// disk remembers what etcd had counted when it was asked last.
type disk struct {
	mu   sync.Mutex
	last map[string]map[float64]uint64 // by metric, bucket
}

// read is what 99 of 100 writes took since it was asked last.
func (d *disk) read(from prometheus.Gatherer) (fsync, commit time.Duration) {
	const log, database = "etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds"
	families, err := from.Gather()
	if err != nil && len(families) == 0 {
		return 0, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = map[string]map[float64]uint64{}
	}
	took := map[string]time.Duration{}
	for _, f := range families {
		name := f.GetName()
		if name != log && name != database || !strings.HasSuffix(name, "_seconds") || len(f.GetMetric()) != 1 {
			continue
		}
		histogram := f.GetMetric()[0].GetHistogram()
		took[name] = since(d.last[name], histogram)
		d.last[name] = buckets(histogram)
	}
	return took[log], took[database]
}

func buckets(h *dto.Histogram) map[float64]uint64 {
	counts := map[float64]uint64{math.Inf(1): h.GetSampleCount()}
	for _, b := range h.GetBucket() {
		counts[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	return counts
}

// since is the upper bound of the bucket that the 99th of 100 is in, without what
// was counted before.
func since(before map[float64]uint64, h *dto.Histogram) time.Duration {
	now := buckets(h)
	all := now[math.Inf(1)] - before[math.Inf(1)]
	if all == 0 {
		return 0
	}
	bounds := make([]float64, 0, len(now))
	for b := range now {
		bounds = append(bounds, b)
	}
	slices.Sort(bounds)
	for i, b := range bounds {
		if float64(now[b]-before[b]) >= 0.99*float64(all) {
			if math.IsInf(b, 1) && i > 0 {
				b = 2 * bounds[i-1] // more than the largest that is counted
			}
			return time.Duration(b * float64(time.Second))
		}
	}
	return 0
}
