// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// greeter greets each connection and waits for the client to leave.
type greeter struct {
	l    net.Listener
	wg   sync.WaitGroup
	most atomic.Int32 // connections at a time
}

func startGreeter(t *testing.T, addr, greeting string) *greeter {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &greeter{l: l}
	var open atomic.Int32
	g.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.most.Store(max(g.most.Load(), open.Add(1)))
			g.wg.Go(func() {
				defer open.Add(-1)
				defer conn.Close()
				io.WriteString(conn, greeting)
				if greeting != "" {
					conn.Read(make([]byte, 6))
					return
				}
				io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(g.stop)
	return g
}

func (g *greeter) stop() {
	g.l.Close()
	g.wg.Wait()
}

func (g *greeter) addr() string { return g.l.Addr().String() }

func testProbe() ProbeConfig {
	return ProbeConfig{ICMPInterval: 5 * time.Millisecond, BannerInterval: 20 * time.Millisecond, Timeout: 5 * time.Second}
}

// startProbe runs a probe until the test ends.
func startProbe(t *testing.T, cfg ProbeConfig) *probe {
	t.Helper()
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	p := &probe{cfg: cfg}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the probe does not stop")
		}
	})
	return p
}

// during lets time pass in which things are measured.
func during(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("out of time")
	}
}

// wantBlackout holds what was measured against an outage of known length. The machine's own unpunctuality can make it
// longer, never shorter but for what was under way when it began.
func wantBlackout(t *testing.T, what string, got float64, outage time.Duration) {
	t.Helper()
	least, most := millis(outage-100*time.Millisecond), millis(outage+1500*time.Millisecond)
	if got < least || got > most {
		t.Errorf("%s: %.1f ms, want between %.1f and %.1f", what, got, least, most)
	}
}

func TestBannerBlackout(t *testing.T) {
	g := startGreeter(t, "127.0.0.1:0", "220-one moment\r\n220 double\r\n")
	cfg := testProbe()
	cfg.Banner = g.addr()
	p := startProbe(t, cfg)
	greetings := func() int { return p.report().Greetings }

	p.mark("quiet")
	during(t, 500*time.Millisecond)
	quiet := p.report()
	if quiet.Mark != "quiet" || quiet.Greetings < 5 || quiet.Refused > 0 || quiet.ICMPBlackoutMS != nil || quiet.ActMS < 500 {
		t.Errorf("quiet: %+v", quiet)
	}
	if m := quiet.BannerMedianMS; m < 5 || m > *quiet.BannerBlackoutMS {
		t.Errorf("a greeting every 20 ms has a median gap of %.1f ms, and a longest of %.1f", m, *quiet.BannerBlackoutMS)
	}

	p.mark("outage")
	addr := g.addr()
	g.stop()
	closed := time.Now()
	during(t, 600*time.Millisecond)
	ongoing := p.report()
	wantBlackout(t, "while it goes on", *ongoing.BannerBlackoutMS, 600*time.Millisecond)
	startGreeter(t, addr, "220 again\r\n")
	outage := time.Since(closed)
	before := greetings()
	waitUntil(t, 10*time.Second, "greeted again", func() bool { return greetings() > before })
	r := p.report()
	wantBlackout(t, "afterwards", *r.BannerBlackoutMS, outage)
	if r.Refused < 5 || r.Timeouts+r.Unreachable+r.NotReady+r.Failed+r.Skipped > 0 {
		t.Errorf("outage: %+v", r)
	}

	for told := -1; told != p.report().Refused; { // what was refused may be told late
		var before int
		told, before = p.report().Refused, greetings()
		waitUntil(t, 10*time.Second, "greeted twice more", func() bool { return greetings() >= before+2 })
	}
	p.mark("after")
	waitUntil(t, 10*time.Second, "greeted thrice", func() bool { return greetings() >= 3 })
	if r := p.report(); r.Mark != "after" || *r.BannerBlackoutMS >= 500+r.BannerStallMS || r.Refused != 0 {
		t.Errorf("the outage is not forgotten: %+v", r)
	}
}

// TestBannerFailures has no greeting come in each of the ways in which it can stay out.
func TestBannerFailures(t *testing.T) {
	for _, tt := range []struct {
		name, addr string
		count      func(Report) int
	}{
		{"refused", closedPort(t), func(r Report) int { return r.Refused }},
		{"silent port", silentPort(t), func(r Report) int { return r.Timeouts }},
		{"silent server", startGreeter(t, "127.0.0.1:0", "").addr(), func(r Report) int { return r.Timeouts }},
		{"unreachable", "192.0.2.1:25", func(r Report) int { return r.Unreachable }},
		{"busy", startGreeter(t, "127.0.0.1:0", "421 busy\r\n").addr(), func(r Report) int { return r.NotReady }},
		{"gibberish", startGreeter(t, "127.0.0.1:0", "hello\r\n").addr(), func(r Report) int { return r.Cut }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testProbe()
			cfg.Banner = tt.addr
			if strings.HasPrefix(tt.name, "silent") { // all others fail by themselves
				cfg.Timeout = 200 * time.Millisecond
			}
			p := startProbe(t, cfg)
			waitUntil(t, 10*time.Second, "counted 5 failures", func() bool { return tt.count(p.report()) >= 5 })
			r := p.report()
			if all := r.Greetings + r.Refused + r.Timeouts + r.Unreachable + r.Cut + r.NotReady + r.Failed + r.Skipped; all != tt.count(r) {
				t.Errorf("%+v", r)
			}
			if *r.BannerBlackoutMS < r.ActMS-1 {
				t.Errorf("blackout of %.1f ms in %.1f ms without any success", *r.BannerBlackoutMS, r.ActMS)
			}
		})
	}
}

func TestBannerAttemptsAreBounded(t *testing.T) {
	g := startGreeter(t, "127.0.0.1:0", "")
	cfg := testProbe()
	cfg.Banner, cfg.BannerInterval, cfg.Timeout = g.addr(), 200*time.Microsecond, time.Hour
	p := startProbe(t, cfg)
	waitUntil(t, 20*time.Second, "attempts are skipped, and many were not", func() bool {
		return p.report().Skipped > 100 && g.most.Load() >= maxAttempts/2
	})
	if most := g.most.Load(); most > maxAttempts {
		t.Errorf("%d connections at a time, want up to %d", most, maxAttempts)
	}
}

func TestICMPBlackout(t *testing.T) {
	for _, tt := range []struct{ addr, deaf string }{
		{"127.0.0.1", "/proc/sys/net/ipv4/icmp_echo_ignore_all"},
		{"::1", "/proc/sys/net/ipv6/icmp/echo_ignore_all"},
	} {
		t.Run(tt.addr, func(t *testing.T) {
			set := func(value string) {
				if err := os.WriteFile(tt.deaf, []byte(value), 0); err != nil {
					t.Fatalf("the outage can't be made: %v", err)
				}
			}
			t.Cleanup(func() { set("0") })
			cfg := testProbe()
			cfg.ICMP = tt.addr
			p := startProbe(t, cfg)
			p.mark("quiet")
			during(t, 300*time.Millisecond)
			quiet := p.report()
			if quiet.EchoReplies < 10 || quiet.EchoSendErrors > 0 || quiet.BannerBlackoutMS != nil {
				t.Errorf("quiet: %+v", quiet)
			}
			if m := quiet.ICMPMedianMS; m < 1 || m > *quiet.ICMPBlackoutMS || m > quiet.ICMPP99MS {
				t.Errorf("a reply every 5 ms has a median gap of %.1f ms: %+v", m, quiet)
			}

			p.mark("outage")
			set("1")
			begin := time.Now()
			during(t, 400*time.Millisecond)
			outage := time.Since(begin)
			wantBlackout(t, "while it goes on", *p.report().ICMPBlackoutMS, outage)
			set("0")
			before := p.report().EchoReplies
			waitUntil(t, 10*time.Second, "replies come again", func() bool { return p.report().EchoReplies > before })
			wantBlackout(t, "afterwards", *p.report().ICMPBlackoutMS, outage)
		})
	}
}

// TestForeignEchoes runs two pingers against one address: each counts its own replies only.
func TestForeignEchoes(t *testing.T) {
	a, err := newPinger("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer a.conn.Close()
	b, err := newPinger("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer b.conn.Close()
	for _, g := range []*pinger{b, a} {
		if err := g.send(); err != nil {
			t.Fatal(err)
		}
	}
	a.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if err := a.receive(); err != errOtherPacket {
		t.Errorf("took the reply to another: %v", err)
	}
	if err := a.receive(); err != nil {
		t.Errorf("own reply: %v", err)
	}
}

func TestUnreachableEcho(t *testing.T) {
	cfg := testProbe()
	cfg.ICMP = "192.0.2.1"
	p := startProbe(t, cfg)
	waitUntil(t, 5*time.Second, "sending failed", func() bool { return p.report().EchoSendErrors > 3 })
	if r := p.report(); r.EchoReplies != 0 || r.EchoRequests != 0 || *r.ICMPBlackoutMS < r.ActMS-1 {
		t.Errorf("%+v", r)
	}
}

func TestGaps(t *testing.T) {
	start := time.Now()
	at := func(ms float64) time.Time { return start.Add(time.Duration(ms * float64(time.Millisecond))) }
	g := newGaps(start)
	if got := g.blackout(at(7)); got != 7*time.Millisecond {
		t.Errorf("without any success: %v", got)
	}
	for _, ms := range []float64{10, 20, 30, 29, 31} { // 29 is told late
		g.success(at(ms))
	}
	for _, tt := range []struct {
		now  float64
		want time.Duration
	}{{31, 10 * time.Millisecond}, {40, 10 * time.Millisecond}, {50, 19 * time.Millisecond}} {
		if got := g.blackout(at(tt.now)); got != tt.want {
			t.Errorf("at %v: %v, want %v", tt.now, got, tt.want)
		}
	}
	g.mark()
	g.success(at(100))
	if got := g.blackout(at(100)); got != 69*time.Millisecond {
		t.Errorf("an outage around the mark: %v, want it in full", got)
	}
	g.mark()
	for i := range 100 {
		g.success(at(101 + float64(i)))
	}
	g.success(at(1000))
	if median, p99 := g.quiet(); median != time.Millisecond || p99 != time.Millisecond {
		t.Errorf("the one outage is in the floor: median %v, p99 %v", median, p99)
	}
	g.tick(at(1))
	g.tick(at(3))
	g.tick(at(4))
	if got := g.stalled(at(4)); got != 2*time.Millisecond {
		t.Errorf("stall %v", got)
	}
	if got := g.stalled(at(9)); got != 5*time.Millisecond {
		t.Errorf("ongoing stall %v", got)
	}
}

func TestGapsForgetTheOldest(t *testing.T) {
	now := time.Now()
	g := newGaps(now)
	next := func(gap time.Duration) {
		now = now.Add(gap)
		g.success(now)
	}
	next(time.Hour)
	for range maxGaps {
		next(time.Second)
	}
	if len(g.all) != maxGaps || g.all[0] != time.Second || g.blackout(now) != time.Hour {
		t.Errorf("%d gaps, first %v, blackout %v", len(g.all), g.all[0], g.blackout(now))
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]float64{
		0: 0, 49 * time.Microsecond: 0, 50 * time.Microsecond: 0.1, 149 * time.Microsecond: 0.1, time.Second + 60*time.Microsecond: 1000.1,
	} {
		if got := millis(d); got != want {
			t.Errorf("%v: %v, want %v", d, got, want)
		}
	}
}
