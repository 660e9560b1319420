// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/vip"
)

// Node is how a node is, asked for at each scrape. None of it may wait.
type Node struct {
	Report func() state.Report
	// Held are the addresses on this node; its error leaves them out.
	Held func() ([]vip.Holding, error)
	// Lease is how long the lease holds without another renewal; false: there is none.
	Lease func() (time.Duration, bool)
	// Quorum says whether etcd has confirmed lately what this node knows.
	Quorum func() bool
	// Certificate is when the one ends by which other nodes know this one; false: it is
	// not known, or none of mailha's.
	Certificate func() (time.Time, bool)
}

// Add shows how a node is.
func (m *Metrics) Add(n Node) { m.registry.MustRegister(collector{n, describe()}) }

type descriptions struct{ state, sessions, work, failures, held, lease, quorum, certificate *prometheus.Desc }

func describe() descriptions {
	return descriptions{
		state:    prometheus.NewDesc("mailha_resource_state", "1 for the state that a resource is in on this node, 0 for the others.", []string{"resource", "group", "kind", "state"}, nil),
		sessions: prometheus.NewDesc("mailha_drain_sessions_remaining", "Client sessions that a drain still waits for.", []string{"resource"}, nil),
		work:     prometheus.NewDesc("mailha_drain_work_remaining", "Pieces of work that a drain still waits for.", []string{"resource"}, nil),
		failures: prometheus.NewDesc("mailha_resource_failures", "Failures of a resource on this node that still count against it.", []string{"resource"}, nil),
		held:     prometheus.NewDesc("mailha_vip_held", "1 for each secondary address on this node.", []string{"vip", "interface"}, nil),
		lease:    prometheus.NewDesc("mailha_lease_expires_timestamp_seconds", "When this node lets everything go unless its lease is renewed.", nil, nil),
		quorum:   prometheus.NewDesc("mailha_quorum", "1 if etcd has confirmed the state of the cluster lately.", nil, nil),

		certificate: prometheus.NewDesc("mailha_certificate_expires_timestamp_seconds", "When the certificate ends by which other nodes know this one.", nil, nil),
	}
}

type collector struct {
	Node
	is descriptions
}

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.is.state, c.is.sessions, c.is.work, c.is.failures, c.is.held, c.is.lease, c.is.quorum, c.is.certificate} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range c.Report().Resources {
		for _, s := range []state.ResourcePhase{
			state.ResourceStarting, state.ResourceStarted, state.ResourceDegraded, state.ResourceDraining,
			state.ResourceStopping, state.ResourceStopped, state.ResourceFailed,
		} {
			gauge(c.is.state, yes(r.Phase == s), r.Name, r.Group, r.Kind, string(s))
		}
		gauge(c.is.failures, float64(r.Failures), r.Name)
		if r.Phase == state.ResourceDraining {
			gauge(c.is.sessions, float64(r.Sessions), r.Name)
			gauge(c.is.work, float64(r.Work), r.Name)
		}
	}
	if held, err := c.Held(); err == nil {
		for _, h := range held {
			gauge(c.is.held, 1, h.Addr.Addr().String(), h.Interface)
		}
	}
	if left, ok := c.Lease(); ok {
		gauge(c.is.lease, float64(time.Now().Add(left).UnixMilli())/1000)
	}
	gauge(c.is.quorum, yes(c.Quorum()))
	if end, ok := c.Certificate(); ok {
		gauge(c.is.certificate, float64(end.Unix()))
	}
}
