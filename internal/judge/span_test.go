// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"testing"
	"time"
)

// sight is a holder seen at a time in milliseconds.
type sight struct {
	holder string
	at     int
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
		{name: "one", sights: []sight{{"a", 0}, {"a", 20}}},
		{name: "change of hands", sights: []sight{{"a", 0}, {"a", 20}, {"b", 21}, {"b", 40}}},
		{name: "there and back", sights: []sight{{"a", 0}, {"b", 20}, {"a", 20 + 300}}},
		{name: "seen again after the other", sights: []sight{{"a", 0}, {"b", 20}, {"a", 40}}, count: 1},
		{name: "both answer", sights: []sight{{"a", 0}, {"b", 1}, {"a", 20}, {"b", 21}, {"a", 40}, {"b", 41}}, count: 1, longest: 39 * time.Millisecond},
		{name: "one stray in the other's time", sights: []sight{{"b", 0}, {"b", 200}, {"a", 201}, {"b", 220}}, count: 1},
		{name: "before it matters", sights: []sight{{"a", 0}, {"b", 1}, {"a", 20}, {"b", 21}}, since: 50},
		{name: "it goes on", sights: []sight{{"a", 0}, {"b", 1}, {"a", 200}, {"b", 201}, {"a", 400}, {"b", 401}}, since: 350, count: 1, longest: 50 * time.Millisecond},
	} {
		r := newRecord()
		for _, s := range tt.sights {
			r.see(Thing{Address, "x"}, s.holder, base.Add(time.Duration(s.at)*time.Millisecond))
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
		{"at the beginning", []sight{{"a", 70}, {"a", 90}}, 0, 100, 70 * time.Millisecond},
		{"between two", []sight{{"a", 0}, {"a", 20}, {"b", 80}, {"b", 100}}, 0, 100, 60 * time.Millisecond},
		{"one over the other", []sight{{"a", 0}, {"b", 10}, {"a", 200}, {"b", 20}, {"a", 210}}, 0, 220, 10 * time.Millisecond},
		{"after it", []sight{{"a", 0}, {"a", 20}, {"b", 500}}, 0, 100, 80 * time.Millisecond},
	} {
		r := newRecord()
		for _, s := range tt.sights {
			r.see(Thing{Address, "x"}, s.holder, ms(s.at))
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
