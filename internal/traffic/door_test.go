// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/double"
)

// Each protocol's greeting is known from what is none.
func TestDoors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   ProbeConfig
		count func(DoorReport) int
	}{
		{"imap", ProbeConfig{IMAP: double.StartIMAP(t, double.Reaction{}).Addr}, func(r DoorReport) int { return r.Greetings }},
		{"imap", ProbeConfig{IMAP: startGreeter(t, "127.0.0.1:0", "* BYE busy\r\n").addr()}, func(r DoorReport) int { return r.NotReady }},
		{"pop3", ProbeConfig{POP3: startGreeter(t, "127.0.0.1:0", "+OK double\r\n").addr()}, func(r DoorReport) int { return r.Greetings }},
		{"pop3", ProbeConfig{POP3: startGreeter(t, "127.0.0.1:0", "-ERR busy\r\n").addr()}, func(r DoorReport) int { return r.NotReady }},
		{"ldap", ProbeConfig{LDAP: double.StartLDAP(t, double.Reaction{}, -1, false).Addr}, func(r DoorReport) int { return r.Greetings }},
		{"ldap", ProbeConfig{LDAP: startGreeter(t, "127.0.0.1:0", "hello").addr()}, func(r DoorReport) int { return r.Cut }},
		{"ldap", ProbeConfig{LDAP: closedPort(t)}, func(r DoorReport) int { return r.Refused }},
	} {
		cfg := testProbe()
		cfg.IMAP, cfg.POP3, cfg.LDAP = tt.cfg.IMAP, tt.cfg.POP3, tt.cfg.LDAP
		p := startProbe(t, cfg)
		waitUntil(t, 10*time.Second, tt.name+" was counted", func() bool { return tt.count(p.report().Doors[tt.name]) >= 5 })
		r := p.report()
		d := r.Doors[tt.name]
		if len(r.Doors) != 1 || r.BannerBlackoutMS != nil || r.DoorCounts != (DoorCounts{}) {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if all := d.Greetings + d.Refused + d.Timeouts + d.Unreachable + d.Cut + d.NotReady + d.Failed + d.Skipped; all != tt.count(d) {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}

// Each door has gaps of its own, and a mark begins all of them anew.
func TestDoorsAreSeparate(t *testing.T) {
	g := startGreeter(t, "127.0.0.1:0", "+OK double\r\n")
	cfg := testProbe()
	cfg.Banner, cfg.POP3 = startGreeter(t, "127.0.0.1:0", "220 double\r\n").addr(), g.addr()
	p := startProbe(t, cfg)
	waitUntil(t, 10*time.Second, "both greet", func() bool { r := p.report(); return r.Greetings > 3 && r.Doors["pop3"].Greetings > 3 })
	g.stop()
	during(t, 600*time.Millisecond)
	r := p.report()
	wantBlackout(t, "pop3", r.Doors["pop3"].BlackoutMS, 600*time.Millisecond)
	if *r.BannerBlackoutMS >= 500+r.BannerStallMS { // what held up the prober, too, is nobody's outage
		t.Errorf("the other service's outage counts: %+v", r)
	}
	p.mark("next")
	if next := p.report(); next.Doors["pop3"].Refused >= r.Doors["pop3"].Refused || next.Greetings >= r.Greetings {
		t.Errorf("the mark did not begin anew: %+v, before it %+v", next, r)
	}
}

// What was not greeted in time by a service that has moved since counts for the act in which
// it was tried, and not for the next one.
func TestLateFailuresAreOfTheActBefore(t *testing.T) {
	g := startGreeter(t, "127.0.0.1:0", "")
	cfg := testProbe()
	cfg.Banner, cfg.BannerInterval, cfg.Timeout = g.addr(), time.Hour, 300*time.Millisecond
	p := startProbe(t, cfg)
	waitUntil(t, 10*time.Second, "the only attempt has begun", func() bool { return g.most.Load() > 0 })
	p.mark("next")
	during(t, 3*cfg.Timeout)
	if r := p.report(); r.Timeouts != 0 {
		t.Errorf("%+v", r)
	}
}
