// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
)

// Senses are what a node hears of others, and what it found of the fence devices, asked
// for at each scrape. None of it may wait.
type Senses struct {
	Node   string // this one, which is no peer of its own
	Hearts func() heartbeat.View
	Checks func() []fencing.Check
}

// AddSenses shows what a node hears of others.
func (m *Metrics) AddSenses(s Senses) { m.registry.MustRegister(listener{s, describeSenses()}) }

// Shot counts an attempt to have a node fenced that this node has ended.
func (m *Metrics) Shot(outcome state.ShotPhase) { m.shots.WithLabelValues(string(outcome)).Inc() }

type sounds struct {
	state, age, limit, gap, suspicions, withdrawn, ignored, silent, slept *prometheus.Desc
	ok, checked, took                                                     *prometheus.Desc
}

func describeSenses() sounds {
	return sounds{
		state:      prometheus.NewDesc("mailha_heartbeat_state", "1 for how a peer looks from this node, 0 for the others; unknown is one that is not there.", []string{"peer", "state"}, nil),
		age:        prometheus.NewDesc("mailha_heartbeat_age_seconds", "Time since a peer was heard last, over whatever path.", []string{"peer"}, nil),
		limit:      prometheus.NewDesc("mailha_heartbeat_limit_seconds", "Silence after which a peer looks dead.", []string{"peer"}, nil),
		gap:        prometheus.NewDesc("mailha_heartbeat_worst_gap_seconds", "Longest time between two packets of a peer in the last five minutes.", []string{"peer"}, nil),
		suspicions: prometheus.NewDesc("mailha_heartbeat_suspicions_total", "How often a peer looked dead to this node.", []string{"peer"}, nil),
		withdrawn:  prometheus.NewDesc("mailha_heartbeat_withdrawn_total", "How often a peer that looked dead was heard again: false alarms, and outages that ended.", []string{"peer"}, nil),
		ignored:    prometheus.NewDesc("mailha_heartbeat_ignored_packets_total", "Packets that came and were not believed.", []string{"reason"}, nil),
		silent:     prometheus.NewDesc("mailha_heartbeat_path_silent", "1 if nothing comes from a peer this way, while another way works.", []string{"peer", "local", "remote"}, nil),
		slept:      prometheus.NewDesc("mailha_heartbeat_slept_seconds_total", "Time for which this node's heart was kept from running when it wanted to.", nil, nil),
		ok:         prometheus.NewDesc("mailha_fence_device_ok", "1 if a fence device answered this node's last check, and could have been used.", []string{"device"}, nil),
		checked:    prometheus.NewDesc("mailha_fence_device_checked_timestamp_seconds", "When this node has last checked a fence device.", []string{"device"}, nil),
		took:       prometheus.NewDesc("mailha_fence_device_check_duration_seconds", "Time that the last check of a fence device took.", []string{"device"}, nil),
	}
}

type listener struct {
	Senses
	is sounds
}

// Describe implements prometheus.Collector.
func (l listener) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		l.is.state, l.is.age, l.is.limit, l.is.gap, l.is.suspicions, l.is.withdrawn, l.is.ignored, l.is.silent, l.is.slept,
		l.is.ok, l.is.checked, l.is.took,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (l listener) Collect(to chan<- prometheus.Metric) {
	tell := func(of prometheus.ValueType, d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, of, v, labels...)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	view := l.Hearts()
	for _, s := range view.Nodes {
		if s.Node == l.Node {
			continue
		}
		for _, one := range []heartbeat.State{heartbeat.Unknown, heartbeat.Alive, heartbeat.Suspect} {
			tell(gauge, l.is.state, yes(s.State == one), s.Node, one.String())
		}
		if s.Heard != 0 {
			tell(gauge, l.is.age, max(view.At.Sub(s.Heard), 0).Seconds(), s.Node)
			tell(gauge, l.is.limit, s.Limit.Seconds(), s.Node)
			tell(gauge, l.is.gap, s.WorstGap.Seconds(), s.Node)
		}
		tell(counter, l.is.suspicions, float64(s.Suspicions), s.Node)
		tell(counter, l.is.withdrawn, float64(s.Withdrawn), s.Node)
		for _, p := range s.Paths {
			tell(gauge, l.is.silent, yes(p.Silent), s.Node, p.Local.String(), p.Remote.String())
		}
	}
	for _, r := range heartbeat.Reasons() {
		tell(counter, l.is.ignored, float64(view.Ignored[r]), string(r))
	}
	tell(counter, l.is.slept, view.Slept.Seconds())
	for _, c := range l.Checks() {
		tell(gauge, l.is.ok, yes(c.OK), c.Device)
		tell(gauge, l.is.checked, float64(c.At.UnixMilli())/float64(time.Second/time.Millisecond), c.Device)
		tell(gauge, l.is.took, c.Took.Seconds(), c.Device)
	}
}

func yes(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
