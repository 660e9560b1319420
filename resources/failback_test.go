// SPDX-License-Identifier: Apache-2.0

package resources_test

import (
	"testing"
	"time"

	"github.com/mailha/mailha/resources"
)

func TestFailbackReadsBack(t *testing.T) {
	for _, text := range []string{"never", "immediate", "Sun 02:00-04:00", "Sun,Sat 23:30-01:30", "02:00-04:00", "Mon 22:00-00:00", "00:00-23:59"} {
		f, err := resources.ParseFailback(text)
		if err != nil || f.String() != text {
			t.Errorf("%q reads back as %q, %v", text, f, err)
		}
	}
	if f, err := resources.ParseFailback("sat,SUN 23:30-24:00"); err != nil || f.String() != "Sun,Sat 23:30-00:00" {
		t.Errorf("got %q, %v", f, err)
	}
	for _, text := range []string{"", "always", "Sun", "Sunday 02:00-04:00", "Sun 2:00-4:00", "Sun 02:00", "02:00-02:00", "24:01-02:00", "00:00-24:60",
		"Sun,Sun 02:00-04:00", "Sun, Mon 02:00-04:00", "Sun 02:00 - 04:00", ",Sun 02:00-04:00", "02:60-04:00", "-1:00-04:00", "25:00-26:00"} {
		if f, err := resources.ParseFailback(text); err == nil {
			t.Errorf("%q is taken for %q", text, f)
		}
	}
}

func TestFailbackWindows(t *testing.T) {
	berlin := time.FixedZone("CEST", 2*3600)
	// 2026-11-22 is a Sunday.
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, berlin) }
	for _, tt := range []struct {
		window string
		now    time.Time
		want   time.Time // zero: never
	}{
		{"never", at(22, 3, 0), time.Time{}},
		{"immediate", at(22, 3, 0), at(22, 3, 0)},
		{"Sun 02:00-04:00", at(22, 1, 59), at(22, 2, 0)},
		{"Sun 02:00-04:00", at(22, 2, 0), at(22, 2, 0)},
		{"Sun 02:00-04:00", at(22, 3, 59), at(22, 3, 59)},
		{"Sun 02:00-04:00", at(22, 4, 0), at(29, 2, 0)},
		{"Sun 02:00-04:00", at(23, 3, 0), at(29, 2, 0)},
		{"Sat 23:00-02:00", at(22, 1, 0), at(22, 1, 0)}, // began on Saturday
		{"Sat 23:00-02:00", at(22, 2, 0), at(28, 23, 0)},
		{"Sat 23:00-02:00", at(22, 23, 30), at(28, 23, 0)}, // Sunday's evening is not Saturday's
		{"Mon,Wed 12:00-13:00", at(23, 13, 0), at(25, 12, 0)},
		{"02:00-04:00", at(22, 5, 0), at(23, 2, 0)},
		{"Mon 22:00-00:00", at(23, 23, 59), at(23, 23, 59)},
		{"Mon 22:00-00:00", at(24, 0, 0), at(30, 22, 0)},
		// The same instant elsewhere is in the window of there.
		{"Sun 02:00-04:00", at(22, 3, 0).UTC(), at(22, 4, 0).UTC()},
	} {
		f, err := resources.ParseFailback(tt.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Next(tt.now); !got.Equal(tt.want) {
			t.Errorf("%s after %s: got %s, want %s", tt.window, tt.now, got, tt.want)
		}
		if got, want := f.Allows(tt.now), tt.now.Equal(tt.want); got != want {
			t.Errorf("%s allows %s: got %t", tt.window, tt.now, got)
		}
	}
}

// A window in the hour that a clock leaves out or has twice comes at some time.
func TestFailbackWhereClocksChange(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	f, err := resources.ParseFailback("Sun 02:15-02:45")
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{
		time.Date(2026, 3, 28, 12, 0, 0, 0, zone), time.Date(2026, 3, 29, 1, 30, 0, 0, zone),
		time.Date(2026, 10, 24, 12, 0, 0, 0, zone), time.Date(2026, 10, 25, 1, 30, 0, 0, zone),
	} {
		next := f.Next(now)
		if next.Before(now) || next.Sub(now) > 9*24*time.Hour || !f.Allows(next) {
			t.Errorf("after %s: %s", now, next)
		}
	}
}
