// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/failover"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/metrics"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/vip"
)

var _ failover.Meter = (*metrics.Metrics)(nil)

func filled(held error) *metrics.Metrics {
	m := metrics.New("1.2.3")
	m.Add(metrics.Node{
		Report: func() state.Report {
			return state.Report{Resources: []state.ResourceReport{
				{Name: "mta", Group: "mail", Kind: "mta", Phase: state.ResourceDraining, Sessions: 3, Work: 2},
				{Name: "vip", Group: "mail", Kind: "vip", Phase: state.ResourceStarted, Failures: 1},
			}}
		},
		Held: func() ([]vip.Holding, error) {
			return []vip.Holding{
				{Addr: netip.MustParsePrefix("192.0.2.1/24"), Interface: "eth0"}, {Addr: netip.MustParsePrefix("2001:db8::1/64"), Interface: "eth0"},
			}, held
		},
		Lease:  func() (time.Duration, bool) { return 5 * time.Second, held == nil },
		Quorum: func() bool { return true },

		Certificate: func() (time.Time, bool) { return time.Unix(1_800_000_000, 0), held == nil },
	})
	at := clock.Time(time.Hour)
	m.AddSenses(metrics.Senses{
		Node: "n1",
		Hearts: func() heartbeat.View {
			a, b := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")
			return heartbeat.View{
				At: at, Sound: true, Slept: 1500 * time.Millisecond, Ignored: map[heartbeat.Reason]uint64{heartbeat.Forged: 7},
				Nodes: []heartbeat.Sight{
					{Node: "n1", Life: 1},
					{
						Node: "n2", Life: 2, State: heartbeat.Suspect, Heard: at.Add(-2 * time.Second), Limit: 150 * time.Millisecond, WorstGap: 60 * time.Millisecond, Suspicions: 3, Withdrawn: 2,
						Paths: []heartbeat.Path{{Local: a, Remote: a.Next()}, {Local: b, Remote: b.Next(), Silent: true}},
					},
					{Node: "n3", Limit: time.Second},
				},
			}
		},
		Checks: func() []fencing.Check {
			return []fencing.Check{
				{Device: "bmc", OK: true, At: time.UnixMilli(1_700_000_000_500), Took: 2400 * time.Millisecond},
				{Device: "strip", At: time.Unix(1_700_000_001, 0), Took: time.Minute, Reason: "did not answer"},
			}
		},
	})
	m.Shot(state.Off)
	m.Shot(state.Missed)
	m.Shot(state.Missed)
	m.Taken("mail", 70*time.Millisecond, true)
	m.Taken("mail", 3*time.Second, false)
	m.Stopped("mta", 40*time.Second)
	m.Restarted("mta")
	m.Dropped(2)
	return m
}

// The names and labels are what people build upon. The lease's end differs each time.
func TestWhatIsExposed(t *testing.T) {
	want, err := os.Open("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.GatherAndCompare(filled(nil).Gatherer(), want,
		"mailha_resource_state", "mailha_resource_failures", "mailha_resource_restarts_total", "mailha_drain_sessions_remaining", "mailha_drain_work_remaining",
		"mailha_drain_duration_seconds", "mailha_takeover_duration_seconds", "mailha_vip_held", "mailha_vip_lost_total", "mailha_quorum", "mailha_certificate_expires_timestamp_seconds",
		"mailha_heartbeat_state", "mailha_heartbeat_age_seconds", "mailha_heartbeat_limit_seconds", "mailha_heartbeat_worst_gap_seconds",
		"mailha_heartbeat_suspicions_total", "mailha_heartbeat_withdrawn_total", "mailha_heartbeat_ignored_packets_total", "mailha_heartbeat_path_silent", "mailha_heartbeat_slept_seconds_total",
		"mailha_fence_device_ok", "mailha_fence_device_checked_timestamp_seconds", "mailha_fence_device_check_duration_seconds", "mailha_fencing_operations_total"); err != nil {
		t.Error(err)
	}
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.GatherAndLint(filled(nil).Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestScrape(t *testing.T) {
	w := httptest.NewRecorder()
	filled(nil).WithProcess().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Body)
	for _, want := range []string{`mailha_build_info{goversion="go`, "mailha_lease_expires_timestamp_seconds 1", "go_goroutines", `version="1.2.3"`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
}

func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	n, err := testutil.GatherAndCount(filled(errors.New("no netlink")).Gatherer(), "mailha_vip_held", "mailha_lease_expires_timestamp_seconds")
	if err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}
