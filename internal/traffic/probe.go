// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"sync"
	"time"
)

// Report is what a probe saw since the last mark, or since its start. Times are milliseconds, rounded to 0.1.
type Report struct {
	Mark  string  `json:"mark"`
	ActMS float64 `json:"act_ms"` // since the mark

	// A blackout is the longest time between two consecutive successes, by the time at which they were complete. It counts
	// from the last success before the mark, and up to the report if it still goes on. Nil when not probed.
	ICMPBlackoutMS   *float64 `json:"icmp_blackout_ms,omitempty"`
	BannerBlackoutMS *float64 `json:"banner_blackout_ms,omitempty"`

	// The floor: median and 99th percentile of the gaps between successes, the blackout left out; and the longest time for
	// which the prober itself did not get to begin an attempt, which no blackout that is shorter can be told from.
	ICMPMedianMS   float64 `json:"icmp_median_ms"`
	ICMPP99MS      float64 `json:"icmp_p99_ms"`
	ICMPStallMS    float64 `json:"icmp_stall_ms"`
	BannerMedianMS float64 `json:"banner_median_ms"`
	BannerP99MS    float64 `json:"banner_p99_ms"`
	BannerStallMS  float64 `json:"banner_stall_ms"`

	ProbeCounts

	// What else was asked for a greeting: "imap", "pop3", "ldap".
	Doors map[string]DoorReport `json:"doors,omitempty"`
}

// ProbeCounts counts what became of attempts, in the act in which they ended.
type ProbeCounts struct {
	EchoRequests   int `json:"echo_requests"`    // handed to the network
	EchoSendErrors int `json:"echo_send_errors"` // no route, no neighbour, no buffer
	EchoReplies    int `json:"echo_replies"`
	DoorCounts         // of Banner
}

// probe sends echo requests and opens connections at fixed intervals, whatever became of the former ones.
type probe struct {
	cfg ProbeConfig

	mu     sync.Mutex
	name   string
	since  time.Time
	icmp   *gaps   // nil when not probed
	doors  []*door // of services that are probed
	counts ProbeCounts
}

// run probes until ctx ends. ready is called when probing has begun.
func (p *probe) run(ctx context.Context, ready func()) error {
	var echo *pinger
	if p.cfg.ICMP != "" {
		var err error
		if echo, err = newPinger(p.cfg.ICMP); err != nil {
			return err
		}
		defer echo.conn.Close()
	}
	now := time.Now()
	p.since = now
	var wg sync.WaitGroup
	if echo != nil {
		p.icmp = newGaps(now)
		wg.Go(func() { p.ping(ctx, echo) })
		wg.Go(func() { p.collect(ctx, echo) })
	}
	for _, d := range p.cfg.doors() {
		d.gaps = newGaps(now)
		p.doors = append(p.doors, d)
		wg.Go(func() { p.knock(ctx, d) })
	}
	ready()
	wg.Wait()
	return nil
}

func (p *probe) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// mark begins a new act.
func (p *probe) mark(name string) {
	p.update(func() {
		p.name, p.since, p.counts = name, time.Now(), ProbeCounts{}
		if p.icmp != nil {
			p.icmp.mark()
		}
		for _, d := range p.doors {
			d.gaps.mark()
			d.counts = DoorCounts{}
		}
	})
}

// report tells of the act so far.
func (p *probe) report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	r := Report{Mark: p.name, ActMS: millis(now.Sub(p.since)), ProbeCounts: p.counts}
	if g := p.icmp; g != nil {
		median, p99 := g.quiet()
		r.ICMPBlackoutMS, r.ICMPStallMS = new(millis(g.blackout(now))), millis(g.stalled(now))
		r.ICMPMedianMS, r.ICMPP99MS = millis(median), millis(p99)
	}
	for _, d := range p.doors {
		seen := d.report(now)
		if d.name != banner {
			if r.Doors == nil {
				r.Doors = make(map[string]DoorReport)
			}
			r.Doors[d.name] = seen
			continue
		}
		r.DoorCounts = seen.DoorCounts
		r.BannerBlackoutMS, r.BannerMedianMS, r.BannerP99MS, r.BannerStallMS = new(seen.BlackoutMS), seen.MedianMS, seen.P99MS, seen.StallMS
	}
	return r
}

// ping sends a request per interval.
func (p *probe) ping(ctx context.Context, echo *pinger) {
	ticker := time.NewTicker(p.cfg.ICMPInterval)
	defer ticker.Stop()
	for {
		err := echo.send()
		p.update(func() {
			p.icmp.tick(time.Now())
			if err != nil {
				p.counts.EchoSendErrors++
			} else {
				p.counts.EchoRequests++
			}
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// collect notes the replies.
func (p *probe) collect(ctx context.Context, echo *pinger) {
	defer context.AfterFunc(ctx, func() { echo.conn.SetReadDeadline(time.Now()) })()
	for ctx.Err() == nil {
		// Errors of the network for earlier requests are reported here too: they mean just no reply.
		if echo.receive() == nil {
			at := time.Now()
			p.update(func() {
				p.icmp.success(at)
				p.counts.EchoReplies++
			})
		}
	}
}
