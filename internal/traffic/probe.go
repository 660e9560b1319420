// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/traffic/smtp"
)

// maxAttempts bounds the greetings waited for at a time, and so the ports in use: enough for one every 20 ms that each
// last 5 s.
const maxAttempts = 300

// goodbye bounds how long an attempt that succeeded waits for the server to close first.
const goodbye = time.Second

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
}

// ProbeCounts counts what became of attempts, in the act in which they ended.
type ProbeCounts struct {
	EchoRequests   int `json:"echo_requests"`    // handed to the network
	EchoSendErrors int `json:"echo_send_errors"` // no route, no neighbour, no buffer
	EchoReplies    int `json:"echo_replies"`
	Greetings      int `json:"greetings"`   // connections that got their 220
	Refused        int `json:"refused"`     // reset instead of accepted
	Timeouts       int `json:"timeouts"`    // no 220 in time
	Unreachable    int `json:"unreachable"` // told so by the network
	Cut            int `json:"cut"`         // accepted, then reset or closed before the 220
	NotReady       int `json:"not_ready"`   // greeted with something else, such as a 421
	Failed         int `json:"failed"`      // for reasons of the prober's machine
	Skipped        int `json:"skipped"`     // not begun, since too many others were waiting
}

// probe sends echo requests and opens SMTP connections at fixed intervals, whatever became of the former ones.
type probe struct {
	cfg ProbeConfig

	mu     sync.Mutex
	name   string
	since  time.Time
	icmp   *gaps // nil when not probed
	banner *gaps // nil when not probed
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
	if p.cfg.Banner != "" {
		p.banner = newGaps(now)
		wg.Go(func() { p.knock(ctx) })
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
		for _, g := range []*gaps{p.icmp, p.banner} {
			if g != nil {
				g.mark()
			}
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
	if g := p.banner; g != nil {
		median, p99 := g.quiet()
		r.BannerBlackoutMS, r.BannerStallMS = new(millis(g.blackout(now))), millis(g.stalled(now))
		r.BannerMedianMS, r.BannerP99MS = millis(median), millis(p99)
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

// knock begins a connection per interval.
func (p *probe) knock(ctx context.Context) {
	ticker := time.NewTicker(p.cfg.BannerInterval)
	defer ticker.Stop()
	free := make(chan struct{}, maxAttempts)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case free <- struct{}{}:
			p.update(func() { p.banner.tick(time.Now()) })
			wg.Go(func() {
				defer func() { <-free }()
				p.greet(ctx)
			})
		default:
			p.update(func() { p.counts.Skipped++ })
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// greet connects, waits for the 220 and says goodbye.
func (p *probe) greet(ctx context.Context) {
	attempt, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialContext(attempt, "tcp", p.cfg.Banner)
	if err != nil {
		p.fail(ctx, err, false)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(attempt, func() { conn.SetReadDeadline(time.Now()) })()
	r, err := smtp.ReadReply(bufio.NewReader(conn))
	at := time.Now()
	if err == nil && r.Code == 220 {
		p.update(func() {
			p.banner.success(at)
			p.counts.Greetings++
		})
		conn.SetDeadline(at.Add(goodbye))
		if _, err := io.WriteString(conn, "QUIT\r\n"); err == nil {
			io.Copy(io.Discard, conn) // the server closes first, and keeps the port busy in our place
		}
		return
	}
	// A reset leaves no port in TIME_WAIT.
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	if err == nil {
		p.update(func() { p.counts.NotReady++ })
		return
	}
	p.fail(ctx, err, true)
}

// fail counts an attempt that failed, unless it did so because the probe is at its end.
func (p *probe) fail(ctx context.Context, err error, connected bool) {
	if ctx.Err() != nil {
		return
	}
	p.update(func() {
		switch ne, isNet := errors.AsType[net.Error](err); {
		case isNet && ne.Timeout():
			p.counts.Timeouts++
		case connected, errors.Is(err, syscall.ECONNRESET): // the reset may come while connect still returns
			p.counts.Cut++
		case errors.Is(err, syscall.ECONNREFUSED):
			p.counts.Refused++
		case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
			p.counts.Unreachable++
		default:
			p.counts.Failed++
		}
	})
}
