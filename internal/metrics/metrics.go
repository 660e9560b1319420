// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mailha/mailha/internal/state"
)

// Metrics counts what the control loop tells: it is a failover.Meter.
type Metrics struct {
	registry  *prometheus.Registry
	takeovers *prometheus.HistogramVec
	drains    *prometheus.HistogramVec
	restarts  *prometheus.CounterVec
	dropped   prometheus.Counter
	shots     *prometheus.CounterVec
}

// New makes the metrics of a daemon of that version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		takeovers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mailha_takeover_duration_seconds", Help: "Time from taking a group until all of it runs; cause is lost if its former owner was gone, and moved otherwise.",
			Buckets: []float64{.02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300},
		}, []string{"cause"}),
		drains: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mailha_drain_duration_seconds", Help: "Time that a resource took to drain and stop.",
			Buckets: []float64{.02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600},
		}, []string{"resource"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailha_resource_restarts_total", Help: "Starts on the spot after a failure.",
		}, []string{"resource"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailha_vip_lost_total", Help: "Addresses that were let go because the lease was lost.",
		}),
		shots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailha_fencing_operations_total", Help: "Attempts by this node to have another one fenced: off for certain, missed, or spared because it was heard again.",
		}, []string{"outcome"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mailha_build_info", Help: "Always 1; the labels say what runs."}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, outcome := range []state.ShotPhase{state.Off, state.Missed, state.Spared} {
		m.shots.WithLabelValues(string(outcome)) // 0 from the beginning: an alarm wants to see it grow
	}
	m.registry.MustRegister(m.takeovers, m.drains, m.restarts, m.dropped, m.shots, build)
	return m
}

// WithProcess adds what there is to say about the process itself.
func (m *Metrics) WithProcess() *Metrics {
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer has all of them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler answers a scrape. What could not be found out is left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Taken implements failover.Meter.
func (m *Metrics) Taken(_ string, took time.Duration, lost bool) {
	cause := "moved"
	if lost {
		cause = "lost"
	}
	m.takeovers.WithLabelValues(cause).Observe(took.Seconds())
}

// Stopped implements failover.Meter.
func (m *Metrics) Stopped(resource string, took time.Duration) {
	m.drains.WithLabelValues(resource).Observe(took.Seconds())
}

// Restarted implements failover.Meter.
func (m *Metrics) Restarted(resource string) { m.restarts.WithLabelValues(resource).Inc() }

// Dropped implements failover.Meter.
func (m *Metrics) Dropped(addresses int) { m.dropped.Add(float64(addresses)) }
