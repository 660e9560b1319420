// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever the devices do: nothing is called off that a listener hears, nor without
// every device of a level having said so twice; levels come one after the other; and it
// ends in time.
func TestLevels(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var devices []Device
		manners := map[string]manner{}
		for i := range rapid.IntRange(1, 5).Draw(rt, "devices") {
			d := device(fmt.Sprintf("d%d", i), rapid.IntRange(1, 3).Draw(rt, "level"))
			d.Attempts = rapid.IntRange(1, 3).Draw(rt, "attempts")
			d.Timeout = time.Duration(rapid.IntRange(1, 5).Draw(rt, "timeout")) * time.Second
			d.Delay = time.Duration(rapid.IntRange(0, 2).Draw(rt, "delay")) * time.Second
			d.Action = rapid.SampledFrom([]Action{Off, Reboot}).Draw(rt, "action")
			devices = append(devices, d)
			manners[d.Name] = manner{
				Off:    rapid.SampledFrom([]string{"does", "does", "fails", "hangs", "lies"}).Draw(rt, "off"),
				Status: rapid.SampledFrom([]string{"true", "true", "on", "off", "error", "hangs"}).Draw(rt, "status"),
				On:     rapid.SampledFrom([]string{"does", "fails", "hangs"}).Draw(rt, "on"),
				Slow:   time.Duration(rapid.IntRange(0, 3000).Draw(rt, "slow")) * time.Millisecond,
				Fails:  rapid.IntRange(0, 2).Draw(rt, "fails"),
			}
		}
		listens := rapid.Bool().Draw(rt, "listens")
		synctest.Test(t, func(t *testing.T) {
			r := newRack(devices, manners)
			cfg := Config{Devices: devices}
			if listens {
				cfg.Answers = func(context.Context, string) bool { return !r.down() }
			}
			f := r.fencer(t, cfg)
			before := -1 // calls until it was confirmed
			got := f.Fence(t.Context(), Order{Node: "n1", Confirmed: func(Result) {
				before = len(r.asked())
				if listens && !r.down() {
					rt.Errorf("confirmed, and it is up")
				}
			}})
			if r.crowded {
				rt.Errorf("a device was asked two things at once")
			}
			calls := r.asked()
			if got.Confirmed != (before >= 0) {
				rt.Fatalf("confirmed %v, told %v", got.Confirmed, before)
			}
			if !got.Confirmed {
				before = len(calls)
			}
			held(rt, devices, manners, calls[:before], got)
			for _, c := range calls[before:] {
				if !strings.HasSuffix(c, " on") {
					rt.Errorf("%s after it was confirmed", c)
				}
			}
			limit := 10*time.Millisecond + time.Duration(len(f.levels("n1")))*DefaultGrace
			for _, level := range f.levels("n1") {
				var longest time.Duration
				for _, d := range level {
					longest = max(longest, time.Duration(d.Attempts)*(d.Timeout+d.Delay+respite))
				}
				limit += longest
			}
			if got.Took() > limit {
				rt.Errorf("took %v, more than %v", got.Took(), limit)
			}
		})
	})
}

// held says what is wrong with the calls up to the end.
func held(rt *rapid.T, devices []Device, manners map[string]manner, calls []string, got Result) {
	level := map[string]int{}
	offs := map[string]int{}
	for _, d := range devices {
		level[d.Name] = d.Level
	}
	last := 0
	for _, c := range calls {
		name, action, _ := strings.Cut(c, " ")
		if level[name] < last {
			rt.Errorf("%s after level %d", c, last)
		}
		last = level[name]
		switch action {
		case askOff:
			offs[name]++
		case askOn:
			rt.Errorf("%s before it was confirmed", c)
		}
	}
	for _, d := range devices {
		if offs[d.Name] > d.Attempts {
			rt.Errorf("%s was asked %d times", d.Name, offs[d.Name])
		}
		if !got.Confirmed || d.Level != got.Level {
			continue
		}
		m := manners[d.Name]
		if !slices.Contains(got.By, d.Name) || m.Off == "hangs" || m.Off == "fails" || !slices.Contains([]string{"true", "off"}, m.Status) || m.Off == "lies" && m.Status != "off" {
			rt.Errorf("confirmed by %v, and %s is %+v", got.By, d.Name, m)
		}
	}
}
