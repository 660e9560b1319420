// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var (
	macA = net.HardwareAddr{0x02, 0, 0, 0, 0, 0xaa}
	a4   = netip.MustParseAddr(vip4)
	a6   = netip.MustParseAddr(vip6)
)

func TestARPBytes(t *testing.T) {
	request, reply, err := arpAnnounce(macA, a4)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := arpProbe(macA, a4)
	if err != nil {
		t.Fatal(err)
	}
	ask, err := arpAsk(macA, a4, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	const head = "ffffffffffff 0200000000aa 0806 0001 0800 06 04 "
	for name, tc := range map[string]struct {
		got  []byte
		want string
	}{
		"request": {request, head + "0001 0200000000aa c0000264 000000000000 c0000264"},
		"reply":   {reply, head + "0002 0200000000aa c0000264 0200000000aa c0000264"},
		"probe":   {probe, head + "0001 0200000000aa 00000000 000000000000 c0000264"},
		"ask":     {ask, head + "0001 0200000000aa c0000264 000000000000 c0000201"},
	} {
		if got, want := fmt.Sprintf("%x", tc.got), strings.ReplaceAll(tc.want, " ", ""); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestNDBytes(t *testing.T) {
	gw := netip.MustParseAddr("fe80::1")
	const head = "0200000000aa 86dd 60000000 "
	for name, tc := range map[string]struct {
		got  func() ([]byte, error)
		want string
	}{
		"announce": {func() ([]byte, error) { return ndAnnounce(macA, a6, false) },
			"333300000001" + head + "0020 3aff 20010db8000000000000000000000100 ff020000000000000000000000000001" +
				"8800 7d9b 20000000 20010db8000000000000000000000100 0201 0200000000aa"},
		"probe": {func() ([]byte, error) { return ndProbe(macA, a6) },
			"3333ff000100" + head + "0018 3aff 00000000000000000000000000000000 ff0200000000000000000001ff000100" +
				"8700 4ba9 00000000 20010db8000000000000000000000100"},
		"ask": {func() ([]byte, error) { return ndAsk(macA, a6, gw) },
			"3333ff000001" + head + "0020 3aff 20010db8000000000000000000000100 ff0200000000000000000001ff000001" +
				"8700 d00b 00000000 fe800000000000000000000000000001 0101 0200000000aa"},
	} {
		b, err := tc.got()
		if err != nil {
			t.Fatal(err)
		}
		got, want := fmt.Sprintf("%x", b), strings.ReplaceAll(tc.want, " ", "")
		const sum = 2 * (etherLen + ipv6Len + 2) // the checksum is checked below
		if got[:sum] != want[:sum] || got[sum+4:] != want[sum+4:] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		if s := icmpSum(b); s != 0xffff {
			t.Errorf("%s: checksum is wrong, sum %#x", name, s)
		}
	}
}

// icmpSum is the one's complement sum over ICMPv6 and its pseudo header: 0xffff if the checksum is right (RFC 4443).
func icmpSum(frame []byte) uint32 {
	pseudo := slices.Concat(frame[22:54], []byte{0, 0, frame[18], frame[19], 0, 0, 0, icmpv6}, frame[54:])
	var s uint32
	for i := 0; i+1 < len(pseudo); i += 2 {
		s += uint32(pseudo[i])<<8 | uint32(pseudo[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}

func TestParseARP(t *testing.T) {
	request, reply, _ := arpAnnounce(macA, a4)
	probe, _ := arpProbe(macA, a4)
	broken := func(at int, b byte) []byte {
		f := slices.Clone(reply)
		f[at] = b
		return f
	}
	for name, tc := range map[string]struct {
		frame []byte
		want  *heard
	}{
		"request":            {request, &heard{addr: a4, mac: macA, to: a4}},
		"reply":              {reply, &heard{addr: a4, mac: macA, to: a4}},
		"padded":             {append(slices.Clone(reply), make([]byte, 18)...), &heard{addr: a4, mac: macA, to: a4}},
		"probe":              {probe, &heard{addr: a4, mac: macA, probing: true}},
		"empty":              {nil, nil},
		"short":              {reply[:41], nil},
		"header only":        {reply[:14], nil},
		"not ARP":            {broken(13, 0), nil},
		"not Ethernet":       {broken(15, 6), nil},
		"not IPv4":           {broken(17, 1), nil},
		"long hardware":      {append(broken(18, 20), make([]byte, 60)...), nil},
		"IPv6 sized":         {append(broken(19, 16), make([]byte, 60)...), nil},
		"no protocol length": {broken(19, 0), nil},
		"reply from 0.0.0.0": {func() []byte { f := slices.Clone(probe); f[21] = 2; return f }(), nil},
	} {
		h, ok := parseARP(tc.frame)
		compareHeard(t, name, h, ok, tc.want)
	}
}

func TestParseND(t *testing.T) {
	announce, _ := ndAnnounce(macA, a6, false)
	probe, _ := ndProbe(macA, a6)
	ask, _ := ndAsk(macA, a6, netip.MustParseAddr("fe80::1"))
	broken := func(at int, b byte) []byte {
		f := slices.Clone(announce)
		f[at] = b
		return f
	}
	for name, tc := range map[string]struct {
		frame []byte
		want  *heard
	}{
		"announcement":     {announce, &heard{addr: a6, mac: macA, to: allNodes}},
		"probe":            {probe, &heard{addr: a6, mac: macA, probing: true}},
		"question":         {ask, nil},
		"empty":            {nil, nil},
		"no ICMP":          {announce[:54], nil},
		"cut":              {announce[:70], nil},
		"not IPv6":         {broken(14, 0x45), nil},
		"other ethertype":  {broken(13, 0), nil},
		"other protocol":   {broken(20, 17), nil},
		"was forwarded":    {broken(21, 254), nil},
		"length too large": {broken(19, 200), nil},
		"length too small": {broken(19, 3), nil},
		"other message":    {broken(54, 128), nil},
		"option length 0":  {broken(79, 0), nil},
	} {
		h, ok := parseND(tc.frame)
		compareHeard(t, name, h, ok, tc.want)
	}
}

func compareHeard(t *testing.T, name string, got heard, ok bool, want *heard) {
	t.Helper()
	if ok != (want != nil) {
		t.Errorf("%s: understood %v, as %+v", name, ok, got)
		return
	}
	if ok && (got.addr != want.addr || !bytes.Equal(got.mac, want.mac) || got.probing != want.probing || got.to != want.to) {
		t.Errorf("%s: got %+v, want %+v", name, got, *want)
	}
}

func FuzzParseARP(f *testing.F) {
	request, reply, _ := arpAnnounce(macA, a4)
	probe, _ := arpProbe(macA, a4)
	for _, b := range [][]byte{request, reply, probe, request[:20], nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseARP(b); ok && (!h.addr.Is4() || len(h.mac) != 6 || h.probing && h.to.IsValid()) {
			t.Errorf("% x is understood as %+v", b, h)
		}
	})
}

func FuzzParseND(f *testing.F) {
	announce, _ := ndAnnounce(macA, a6, true)
	probe, _ := ndProbe(macA, a6)
	ask, _ := ndAsk(macA, a6, a6)
	for _, b := range [][]byte{announce, probe, ask, announce[:60], nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseND(b); ok && (!h.addr.Is6() || len(h.mac) != 6) {
			t.Errorf("% x is understood as %+v", b, h)
		}
	})
}

func FuzzParseSocket(f *testing.F) {
	f.Add(make([]byte, diagMsgLen))
	f.Add(append([]byte{unix.AF_INET6, 1}, make([]byte, diagMsgLen)...))
	f.Add(append([]byte{unix.AF_INET, 1, 0, 0, 0, 25, 0, 80, 192, 0, 2, 1}, make([]byte, diagMsgLen)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := parseSocket(b); ok && (!s.Local.IsValid() || !s.Remote.IsValid() || s.Local.Addr().Is4In6()) {
			t.Errorf("% x is understood as %+v", b, s)
		}
	})
}

// The filter must pass what the parsers understand, and nothing that is not for us.
func TestTapFilterAssembles(t *testing.T) {
	for _, six := range []bool{false, true} {
		raw, err := bpf.Assemble(tapFilter(7, six))
		if err != nil {
			t.Fatal(err)
		}
		if _, all := bpf.Disassemble(raw); !all {
			t.Error("filter does not survive a round trip")
		}
	}
}

func TestSolicitedNode(t *testing.T) {
	// The example of RFC 4291 section 2.7.1.
	if got := solicitedNode(netip.MustParseAddr("4037::01:800:200e:8c6c")); got.String() != "ff02::1:ff0e:8c6c" {
		t.Errorf("got %s", got)
	}
	if got := multicastMAC(netip.MustParseAddr("ff02::1:ff0e:8c6c")); got.String() != "33:33:ff:0e:8c:6c" {
		t.Errorf("got %s", got)
	}
}

func TestPacer(t *testing.T) {
	var p pacer
	now := time.Unix(1000, 0)
	send := func(n int, at time.Duration, want time.Duration) {
		t.Helper()
		if got := p.wait(1, n, now.Add(at)); got != want {
			t.Errorf("at %s, %d packets: wait %s, want %s", at, n, got, want)
		}
		p.note(1, n, now.Add(at+want))
	}
	send(6, 0, 0)
	send(6, 100*time.Millisecond, 0)
	send(3, 200*time.Millisecond, 800*time.Millisecond)
	send(3, time.Second, 0)
	send(100, 1500*time.Millisecond, 500*time.Millisecond) // a whole budget is free a second after the last one
	if got := p.wait(2, 12, now); got != 0 {
		t.Errorf("another interface waits %s", got)
	}
}

func TestPacerOfAnotherRate(t *testing.T) {
	p := pacer{rate: 120}
	now := time.Unix(1000, 0)
	for i := range 10 {
		at := now.Add(time.Duration(i) * 100 * time.Millisecond)
		if got := p.wait(1, 12, at); got != 0 {
			t.Errorf("a tenth of a second after the last twelve: wait %s", got)
		}
		p.note(1, 12, at)
		if got := p.wait(1, 1, at); got != 100*time.Millisecond {
			t.Errorf("after twelve at once: wait %s", got)
		}
	}
	for rate, ok := range map[int]bool{0: true, 11: false, 12: true, 10000: true, 10001: false, -1: false} {
		_, err := New(Config{Owner: "x", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, ARPRate: rate}, nil)
		if (err == nil) != ok {
			t.Errorf("rate %d: %v", rate, err)
		}
	}
}

func TestBriefProbe(t *testing.T) {
	for _, tt := range []struct{ given, want ProbeConfig }{
		{ProbeConfig{Brief: true}, ProbeConfig{Count: 2, Interval: time.Millisecond, Wait: 3 * time.Millisecond, Brief: true}},
		{ProbeConfig{Brief: true, Count: 1, Interval: time.Second, Wait: time.Millisecond}, ProbeConfig{Count: 1, Interval: time.Millisecond, Wait: time.Millisecond, Brief: true}},
		{ProbeConfig{Brief: true, Off: true}, ProbeConfig{Count: 2, Interval: time.Millisecond, Wait: 3 * time.Millisecond, Brief: true, Off: true}},
	} {
		if err := tt.given.complete(); err != nil || tt.given != tt.want {
			t.Errorf("got %+v, %v; want %+v", tt.given, err, tt.want)
		}
	}
}

// Whatever is asked for in pieces, no second sees more than the budget.
func TestPacerProperty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p pacer
		now := time.Unix(0, 0)
		var sent []time.Time
		for range 60 {
			n := 1 + rnd.IntN(4)
			now = now.Add(time.Duration(rnd.IntN(300)) * time.Millisecond)
			w := p.wait(3, n, now)
			if w < 0 || w > paceWindow {
				t.Fatalf("wait of %s", w)
			}
			now = now.Add(w)
			p.note(3, n, now)
			for range n {
				sent = append(sent, now)
			}
		}
		for i := range sent {
			if i+paceBudget < len(sent) && sent[i+paceBudget].Sub(sent[i]) < paceWindow {
				t.Fatalf("%d packets between %s and %s", paceBudget+1, sent[i], sent[i+paceBudget])
			}
		}
	}
}

func TestProbeRounds(t *testing.T) {
	p := func(index int, addr string) place { return place{netip.MustParsePrefix(addr), link{index: index}} }
	many := make([]place, 20)
	for i := range many {
		many[i] = p(1, "192.0.2.1/32")
	}
	for _, tc := range []struct {
		count  int
		places []place
		want   int
	}{
		{3, many[:1], 3}, {3, many[:2], 3}, {3, many[:3], 2}, {3, many[:4], 1}, {3, many, 1}, {1, many[:1], 1},
		{10, many[:1], 6},
		{3, []place{p(1, "::1/128"), p(1, "::2/128"), p(1, "::3/128"), p(1, "::4/128")}, 3},
		{3, []place{p(1, "192.0.2.1/32"), p(2, "192.0.2.2/32"), p(3, "192.0.2.3/32")}, 3},
	} {
		if got := probeRounds(tc.count, tc.places); got != tc.want {
			t.Errorf("%d probes of %d addresses: %d rounds, want %d", tc.count, len(tc.places), got, tc.want)
		}
	}
}

func TestScheduleDue(t *testing.T) {
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	for _, tc := range []struct {
		name      string
		now, last time.Time
		refresh   time.Duration
		want      bool
	}{
		{"never announced", at(0), time.Time{}, 0, true},
		{"just announced", at(0.2), at(0.1), 0, false},
		{"second burst is due", at(1), at(0.1), 0, true},
		{"second burst is late", at(300), at(0.1), 0, true},
		{"second burst is due without refresh", at(10), at(0.1), -1, true},
		{"second burst done", at(2), at(1.1), 0, false},
		{"refresh far away", at(54), at(1.1), 0, false},
		{"refresh due", at(68), at(1.1), 0, true},
		{"refresh later in life", at(3600), at(3500), 0, true},
		{"refresh not yet", at(3600), at(3550), 0, false},
		{"refresh off", at(1e6), at(1.1), -1, false},
		{"own refresh", at(15), at(2), 10 * time.Second, true},
		{"clock went back", at(100), at(200), 0, true},
		{"announced before this start", at(0.1), at(-5), 0, true},
	} {
		if got := (Schedule{Refresh: tc.refresh, Owner: "p_mail"}).Due(tc.now, start, tc.last); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestScheduleJitter(t *testing.T) {
	last := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	seen := make(map[time.Duration]bool)
	for i := range 1000 {
		d := Schedule{Owner: fmt.Sprint("p", i)}.jitter(DefaultRefresh, last)
		if d < 54*time.Second || d > 66*time.Second {
			t.Fatalf("refresh after %s", d)
		}
		seen[d] = true
	}
	if len(seen) < 300 {
		t.Errorf("1000 owners share %d moments", len(seen))
	}
	one, other := Schedule{Owner: "p"}, Schedule{Owner: "p"}
	if one.jitter(DefaultRefresh, last) != other.jitter(DefaultRefresh, last) {
		t.Error("two processes must come to the same result")
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := sleep(t.Context(), time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("slept %s, %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("slept %s, %v", time.Since(start), err)
		}
		if err := sleep(ctx, 0); err == nil {
			t.Error("no error although ctx is done")
		}
	})
}

func TestParseAddrs(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":                           "192.0.2.1/32",
		" 192.0.2.1/24,2001:db8::1 ":          "192.0.2.1/24 2001:db8::1/128",
		"192.0.2.1\n192.0.2.2, ,\t192.0.2.3":  "192.0.2.1/32 192.0.2.2/32 192.0.2.3/32",
		"2001:DB8:0::1/64":                    "2001:db8::1/64",
		"fe80::1":                             "fe80::1/128",
		"192.0.2.0/31,192.0.2.1/31":           "192.0.2.0/31 192.0.2.1/31",
		"192.0.2.255 192.0.2.0":               "192.0.2.255/32 192.0.2.0/32",
		"10.0.0.1/8":                          "10.0.0.1/8",
		"2001:db8::/64":                       "2001:db8::/64",
		"192.0.2.1/32,192.0.2.2/32,192.0.2.3": "192.0.2.1/32 192.0.2.2/32 192.0.2.3/32",
	} {
		list, err := ParseAddrs(in, 32, 128)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		var got []string
		for _, p := range list {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for in, part := range map[string]string{
		"":                              "empty",
		" , ":                           "empty",
		"192.0.2.1,mail.example":        `"mail.example"`,
		"192.0.2.1/33":                  `"192.0.2.1/33"`,
		"192.0.2.1/0":                   "192.0.2.1",
		"192.0.2.1/":                    `"192.0.2.1/"`,
		"192.0.2.256":                   `"192.0.2.256"`,
		"192.0.2.01":                    `"192.0.2.01"`,
		"192.0.2.1 192.0.2.1/24":        "twice",
		"2001:db8::1,2001:DB8:0:0::1":   "twice",
		"fe80::1%eth0":                  "interface",
		"fe80::1%eth0/64":               `"fe80::1%eth0/64"`,
		"0.0.0.0":                       "unspecified",
		"::":                            "unspecified",
		"224.0.0.1":                     "multicast",
		"ff02::1":                       "multicast",
		"127.0.0.1":                     "loopback",
		"::1":                           "loopback",
		"::ffff:192.0.2.1":              "IPv4",
		"255.255.255.255":               "broadcast",
		"192.0.2.255/24":                "broadcast",
		"192.0.2.0/24":                  "subnet",
		"192.0.2.1;192.0.2.2":           `"192.0.2.1;192.0.2.2"`,
		"192.0.2.1 -rf":                 `"-rf"`,
		"192.0.2.1/24/24":               "24/24",
		"192.0.2.1/+24":                 "+24",
		strings.Repeat("1", 100) + ".1": "111",
	} {
		if list, err := ParseAddrs(in, 32, 128); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, %v; want an error with %q", in, list, err, part)
		}
	}
	if list, err := ParseAddrs("192.0.2.1,2001:db8::1", 24, 64); err != nil || list[0].Bits() != 24 || list[1].Bits() != 64 {
		t.Errorf("default lengths: %v, %v", list, err)
	}
	if list, err := ParseAddrs("192.0.2.1", 64, 64); err == nil {
		t.Errorf("a default length of 64 for IPv4 gave %v", list)
	}
}

func FuzzParseAddrs(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "192.0.2.1/24, 2001:db8::1/64", "::ffff:1.2.3.4", "fe80::1%x", "", "1.2.3.4/33", "\xff,"} {
		f.Add(s, 32, 128)
	}
	f.Fuzz(func(t *testing.T, s string, bits4, bits6 int) {
		list, err := ParseAddrs(s, bits4, bits6)
		if err != nil {
			return
		}
		if len(list) == 0 || len(list) > MaxAddrs {
			return
		}
		// What is accepted here is accepted there, and survives being written and read again.
		if _, err := New(Config{Owner: "x", Addrs: list}, nil); err != nil {
			t.Errorf("%q gives %v, which New refuses: %v", s, list, err)
		}
		var text []string
		for _, p := range list {
			text = append(text, p.String())
		}
		again, err := ParseAddrs(strings.Join(text, ","), 1, 1)
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%q: %v read again is %v, %v", s, list, again, err)
		}
	})
}

func TestTableNames(t *testing.T) {
	owners := []string{"p_mta", "p_mta:0", "p_mta:1", "p_mta.3a0", "p_mta_0", "P_MTA", "p mta", "p.mta", "ü", "{}", strings.Repeat(":", maxOwner)}
	seen := make(map[string]string)
	for _, o := range owners {
		for _, kind := range []string{"claims", "gate"} {
			n := tableName(kind, o)
			if other, ok := seen[n]; ok {
				t.Errorf("%q and %q share the table %s", o, other, n)
			}
			seen[n] = o
			if len(n) > 255 || strings.Trim(n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
				t.Errorf("%q: name %q does not suit nft(8)", o, n)
			}
		}
	}
}

func TestConnected(t *testing.T) {
	ls := links{{index: 2, name: "eth0", ether: true, up: true}, {index: 3, name: "eth1", ether: true, up: true}}
	to := func(dst string, index int) route {
		return route{dst: netip.MustParsePrefix(dst), kind: unix.RTN_UNICAST, hop: hop{index: index}}
	}
	via := to("192.0.2.0/25", 3)
	via.gateway = netip.MustParseAddr("198.51.100.1")
	via6 := to("192.0.2.0/25", 3)
	via6.via = true
	blackhole := to("192.0.2.0/26", 3)
	blackhole.kind = unix.RTN_BLACKHOLE
	multi := to("192.0.2.64/26", 3)
	multi.hops = []hop{{index: 2}, {index: 3}}
	for _, tc := range []struct {
		name   string
		routes []route
		want   string
		err    error
	}{
		{"one", []route{to("192.0.2.0/24", 2)}, "eth0", nil},
		{"most specific first", []route{to("192.0.2.0/24", 2), to("192.0.0.0/16", 3)}, "eth0", nil},
		{"most specific last", []route{to("192.0.0.0/16", 3), to("192.0.2.0/24", 2)}, "eth0", nil},
		{"twice on one", []route{to("192.0.2.0/24", 2), to("192.0.2.0/24", 2)}, "eth0", nil},
		{"two", []route{to("192.0.2.0/24", 2), to("192.0.2.0/24", 3)}, "", ErrAmbiguous},
		{"none", nil, "", ErrNoInterface},
		{"another family", []route{to("::/1", 2)}, "", ErrNoInterface},
		{"default", []route{to("0.0.0.0/0", 2), {kind: unix.RTN_UNICAST, hop: hop{index: 2}}}, "", ErrNoInterface},
		{"own host route", []route{to(vip4+"/32", 2)}, "", ErrNoInterface},
		{"gateway, blackhole, multipath", []route{via, via6, blackhole, multi}, "", ErrNoInterface},
		{"interface has gone", []route{to("192.0.2.0/24", 9)}, "", ErrNoInterface},
	} {
		l, err := connected(a4, ls, tc.routes)
		if !errors.Is(err, tc.err) || l.name != tc.want {
			t.Errorf("%s: %s, %v; want %s, %v", tc.name, l.name, err, tc.want, tc.err)
		}
	}
}

func TestStrings(t *testing.T) {
	for s, want := range map[fmt.Stringer]string{Missing: "missing", DADFailed: "dad failed", State(99): "State(99)",
		Open: "open", Hold: "hold", Refuse: "refuse", Mode(-1): "Mode(-1)"} {
		if s.String() != want {
			t.Errorf("%#v is %q, want %q", s, s, want)
		}
	}
	if err := fault(netip.MustParsePrefix("192.0.2.1/32"), State(99), address{}, nil); err == nil {
		t.Error("an unknown state must be a fault")
	}
}
