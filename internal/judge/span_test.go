// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"testing"
	"time"
)

// sight is a holder seen at a time in milliseconds, or in some before it.
type sight struct {
	holder string
	at     int
	before int
}

func (s sight) look(base time.Time) look {
	at := base.Add(time.Duration(s.at) * time.Millisecond)
	return look{at.Add(-time.Duration(s.before) * time.Millisecond), at}
}

func TestDoubles(t *testing.T) {
	base := time.Unix(1000, 0)
	for _, tt := range []struct {
		name    string
		sights  []sight
		since   int
		count   int
		longest time.Duration
	}{
		{name: "nobody"},
		{name: "one", sights: []sight{{"a", 0, 0}, {"a", 20, 0}}},
		{name: "change of hands", sights: []sight{{"a", 0, 0}, {"a", 20, 0}, {"b", 21, 0}, {"b", 40, 0}}},
		{name: "there and back", sights: []sight{{"a", 0, 0}, {"b", 60, 0}, {"b", 80, 0}, {"b", 160, 0}, {"a", 190, 0}}},
		{name: "seen again after the other", sights: []sight{{"a", 0, 0}, {"b", 20, 0}, {"a", 40, 0}}, count: 1},
		{name: "both answer", sights: []sight{{"a", 0, 0}, {"b", 1, 0}, {"a", 20, 0}, {"b", 21, 0}, {"a", 40, 0}, {"b", 41, 0}}, count: 1, longest: 39 * time.Millisecond},
		{name: "one stray in the other's time", sights: []sight{{"b", 0, 0}, {"b", 80, 0}, {"a", 81, 0}, {"b", 100, 0}}, count: 1},
		{name: "an answer that came late", sights: []sight{{"a", 0, 0}, {"a", 20, 0}, {"b", 41, 0}, {"a", 45, 25}, {"b", 61, 0}}},
		{name: "a look that took long", sights: []sight{{"a", 0, 0}, {"b", 60, 50}, {"a", 20, 0}, {"b", 70, 2}}},
		{name: "a look within the other's time", sights: []sight{{"b", 0, 0}, {"b", 80, 0}, {"a", 90, 60}, {"b", 95, 0}}, count: 1},
		{name: "late, and again and again", sights: []sight{{"a", 0, 0}, {"b", 1, 0}, {"a", 50, 25}, {"b", 51, 0}, {"a", 90, 25}}, count: 1, longest: 50 * time.Millisecond},
		{name: "told in another order", sights: []sight{{"a", 0, 0}, {"a", 40, 0}, {"a", 20, 0}, {"b", 30, 0}}, count: 1},
		{name: "before it matters", sights: []sight{{"a", 0, 0}, {"b", 1, 0}, {"a", 20, 0}, {"b", 21, 0}}, since: 50},
		{name: "it goes on", sights: []sight{{"a", 0, 0}, {"b", 1, 0}, {"a", 80, 0}, {"b", 81, 0}, {"a", 160, 0}, {"b", 161, 0}}, since: 110, count: 1, longest: 50 * time.Millisecond},
	} {
		r := newRecord()
		for _, s := range tt.sights {
			r.see(Thing{Address, "x"}, s.holder, s.look(base))
		}
		v := Verdict{Doubles: r.doubles(base.Add(time.Duration(tt.since) * time.Millisecond))}
		if n, longest := v.Worst(Address); n != tt.count || longest != tt.longest {
			t.Errorf("%s: %d doubles, the longest %s; want %d, %s", tt.name, n, longest, tt.count, tt.longest)
		}
		if n, _ := v.Worst(Mount); n != 0 {
			t.Errorf("%s: a double mount", tt.name)
		}
	}
}

func TestSilence(t *testing.T) {
	base := time.Unix(1000, 0)
	ms := func(n int) time.Time { return base.Add(time.Duration(n) * time.Millisecond) }
	for _, tt := range []struct {
		name     string
		sights   []sight
		from, to int
		want     time.Duration
	}{
		{"nobody", nil, 0, 100, 100 * time.Millisecond},
		{"at the beginning", []sight{{"a", 70, 0}, {"a", 90, 0}}, 0, 100, 70 * time.Millisecond},
		{"between two", []sight{{"a", 0, 0}, {"a", 20, 0}, {"b", 80, 0}, {"b", 100, 0}}, 0, 100, 60 * time.Millisecond},
		{"one over the other", []sight{{"a", 0, 0}, {"b", 10, 0}, {"a", 90, 0}, {"b", 20, 0}, {"a", 100, 0}}, 0, 110, 10 * time.Millisecond},
		{"after it", []sight{{"a", 0, 0}, {"a", 20, 0}, {"b", 500, 0}}, 0, 100, 80 * time.Millisecond},
	} {
		r := newRecord()
		for _, s := range tt.sights {
			r.see(Thing{Address, "x"}, s.holder, s.look(base))
		}
		if got := r.silence(Thing{Address, "x"}, ms(tt.from), ms(tt.to)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWritable(t *testing.T) {
	const text = `22 28 0:21 / /sys ro,nosuid - sysfs sysfs rw
30 28 7:3 / /srv/mail rw,relatime shared:1 - ext4 /dev/mailha-shared rw,errors=remount-ro
31 28 7:4 / /srv/store ro,relatime - ext4 /dev/mailha-shared2 rw
32 28 7:5 / /srv/other rw,relatime - ext4 /dev/mailha-shared3 ro
33
`
	if got := writable([]byte(text)); len(got) != 1 || got[0] != "7:3" {
		t.Errorf("writable: %q, want 7:3 alone", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02\x02\x00\x00\x00\x00\x01\x0a\x4d\x00\x32\x02\x00\x00\x00\x00\x02\x0a\x4d\x00\x64"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := parse(frame); ok && (!c.addr.IsValid() || len(c.mac) == 0) {
			t.Errorf("a claim of nobody or for nothing: %+v", c)
		}
	})
}
