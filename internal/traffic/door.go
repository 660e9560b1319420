// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

// maxAttempts bounds the greetings waited for at a time, and so the ports in use: enough for one every 20 ms that each
// last 5 s.
const maxAttempts = 300

// goodbye bounds how long an attempt that succeeded waits for the server to close first.
const goodbye = time.Second

// DoorCounts counts what became of attempts to be greeted, in the act in which they ended; not
// failures of those that began before it.
type DoorCounts struct {
	Greetings   int `json:"greetings"`   // connections that were greeted
	Refused     int `json:"refused"`     // reset instead of accepted
	Timeouts    int `json:"timeouts"`    // not greeted in time
	Unreachable int `json:"unreachable"` // told so by the network
	Cut         int `json:"cut"`         // accepted, then reset or closed before the greeting
	NotReady    int `json:"not_ready"`   // greeted with something else, such as a 421
	Failed      int `json:"failed"`      // for reasons of the prober's machine
	Skipped     int `json:"skipped"`     // not begun, since too many others were waiting
}

// DoorReport is what a probe saw of one service. What the numbers mean is with [Report].
type DoorReport struct {
	BlackoutMS float64 `json:"blackout_ms"`
	MedianMS   float64 `json:"median_ms"`
	P99MS      float64 `json:"p99_ms"`
	StallMS    float64 `json:"stall_ms"`
	DoorCounts
}

// banner is the door that reports tell of first.
const banner = "smtp"

// door is a service that greets.
type door struct {
	name, addr string
	// greeted waits for the greeting and says whether it was one.
	greeted func(conn net.Conn) (bool, error)
	bye     string

	gaps   *gaps
	counts DoorCounts
}

// doors lists the services to probe.
func (c *ProbeConfig) doors() []*door {
	var doors []*door
	for _, d := range []*door{
		{name: banner, addr: c.Banner, greeted: greetedSMTP, bye: "QUIT\r\n"},
		{name: "imap", addr: c.IMAP, greeted: greetedIMAP, bye: "a LOGOUT\r\n"},
		{name: "pop3", addr: c.POP3, greeted: greetedPOP3, bye: "QUIT\r\n"},
		{name: "ldap", addr: c.LDAP, greeted: greetedLDAP, bye: string(ldap.Unbind())},
	} {
		if d.addr != "" {
			doors = append(doors, d)
		}
	}
	return doors
}

func greetedSMTP(conn net.Conn) (bool, error) {
	r, err := smtp.ReadReply(bufio.NewReader(conn))
	return r.Code == 220, err
}

func greetedIMAP(conn net.Conn) (bool, error) {
	r, err := imap.ReadResponse(bufio.NewReader(conn))
	return r.Tag == "*" && r.Status() == "OK", err
}

// greetedPOP3 is for RFC 1939 section 4.
func greetedPOP3(conn net.Conn) (bool, error) {
	lines := smtp.LineReader{Reader: bufio.NewReader(conn)}
	const longest = 512
	line, err := lines.Next(longest)
	return strings.HasPrefix(string(line), "+OK"), err
}

func greetedLDAP(conn net.Conn) (bool, error) {
	refusal, err := ldap.RootDSE(conn)
	return refusal == "", err
}

func (d *door) report(now time.Time) DoorReport {
	median, p99 := d.gaps.quiet()
	return DoorReport{millis(d.gaps.blackout(now)), millis(median), millis(p99), millis(d.gaps.stalled(now)), d.counts}
}

// knock begins a connection per interval.
func (p *probe) knock(ctx context.Context, d *door) {
	ticker := time.NewTicker(p.cfg.BannerInterval)
	defer ticker.Stop()
	free := make(chan struct{}, maxAttempts)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case free <- struct{}{}:
			p.update(func() { d.gaps.tick(time.Now()) })
			wg.Go(func() {
				defer func() { <-free }()
				p.greet(ctx, d)
			})
		default:
			p.update(func() { d.counts.Skipped++ })
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// greet connects, waits for the greeting and says goodbye.
func (p *probe) greet(ctx context.Context, d *door) {
	began := time.Now()
	attempt, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(attempt, "tcp", d.addr)
	if err != nil {
		p.fail(ctx, d, began, err, false)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(attempt, func() { conn.SetReadDeadline(time.Now()) })()
	ready, err := d.greeted(conn)
	at := time.Now()
	if err == nil && ready {
		p.update(func() {
			d.gaps.success(at)
			d.counts.Greetings++
		})
		conn.SetDeadline(at.Add(goodbye))
		if _, err := io.WriteString(conn, d.bye); err == nil {
			io.Copy(io.Discard, conn) // the server closes first, and keeps the port busy in our place
		}
		return
	}
	// A reset leaves no port in TIME_WAIT.
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	if err == nil {
		p.update(func() { d.counts.NotReady++ })
		return
	}
	p.fail(ctx, d, began, err, true)
}

// fail counts an attempt that failed, unless it did so because the probe is at its end. What
// began before the last mark failed by what was before it, however late that shows.
func (p *probe) fail(ctx context.Context, d *door, began time.Time, err error, connected bool) {
	if ctx.Err() != nil {
		return
	}
	p.update(func() {
		if began.Before(p.since) {
			return
		}
		switch ne, isNet := errors.AsType[net.Error](err); {
		case isNet && ne.Timeout():
			d.counts.Timeouts++
		case connected, errors.Is(err, syscall.ECONNRESET): // the reset may come while connect still returns
			d.counts.Cut++
		case errors.Is(err, syscall.ECONNREFUSED):
			d.counts.Refused++
		case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
			d.counts.Unreachable++
		default:
			d.counts.Failed++
		}
	})
}
