// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFence(t *testing.T) {
	ok := manner{}
	for _, tt := range []struct {
		name      string
		devices   []Device
		manners   map[string]manner
		answers   func(*rack) bool
		confirmed bool
		took      time.Duration
		calls     string // device action, ...
		reason    string // part
	}{
		{"off, proved, and on again", []Device{device("a", 1)}, map[string]manner{"a": ok}, nil,
			true, 0, "a off, a status, a on", "node n1 is off: a says so, 0s after the order"},
		{"stays off", []Device{{Name: "a", Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Action: Off}}, map[string]manner{"a": ok}, nil,
			true, 0, "a off, a status", "is off"},
		{"on fails, which changes nothing", []Device{device("a", 1)}, map[string]manner{"a": {On: "fails"}}, nil,
			true, 0, "a off, a status, a on", "is off"},
		{"rebooted by its agent", []Device{cycling("a", 1)}, map[string]manner{"a": {Status: "on"}}, nil,
			true, 0, "a reboot", "node n1 is off: a says so, 0s after the order"},
		{"stays off, whatever the method", []Device{{Name: "a", Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Action: Off, Method: Cycle}}, map[string]manner{"a": ok}, nil,
			true, 0, "a off, a status", "is off"},
		{"a reboot that fails", []Device{cycling("a", 1)}, map[string]manner{"a": {Off: "fails"}}, nil,
			false, respite, "a reboot, a reboot", "a failed to reboot: Unable to connect (exit code 1)"},
		{"a reboot that hangs", []Device{cycling("a", 1)}, map[string]manner{"a": {Off: "hangs"}}, nil,
			false, 20*time.Second + respite, "a reboot, a reboot", "a did not reboot within 10s"},
		{"rebooted by its agent, and heard", []Device{cycling("a", 1)}, map[string]manner{"a": ok}, func(*rack) bool { return true },
			false, DefaultGrace, "a reboot", "a says that it rebooted the node, which still answers, or answers again"},
		{"rebooted by its agent beside a switch", []Device{cycling("a", 1), device("b", 1)}, map[string]manner{"a": ok, "b": ok}, nil,
			true, 0, "a reboot, b off, b status, b on", "a and b say so"},
		{"another try helps", []Device{device("a", 1)}, map[string]manner{"a": {Fails: 1}}, nil,
			true, respite, "a off, a off, a status, a on", "is off"},
		{"fails", []Device{device("a", 1)}, map[string]manner{"a": {Off: "fails"}}, nil,
			false, respite, "a off, a off", "node n1 may still be running: a failed to switch off: Unable to connect (exit code 1)"},
		{"cannot be run", []Device{device("a", 1)}, map[string]manner{"a": {Off: "broken"}}, nil,
			false, respite, "a off, a off", "cannot be run: exec format error"},
		{"hangs", []Device{device("a", 1)}, map[string]manner{"a": {Off: "hangs"}}, nil,
			false, 20*time.Second + respite, "a off, a off", "a did not switch off within 10s"},
		{"answers, but too late", []Device{device("a", 1)}, map[string]manner{"a": {Slow: 6 * time.Second}}, nil,
			false, 20*time.Second + respite, "a off, a status, a off, a status", "tells no status within 10s"},
		{"says on after it said that it switched off", []Device{{Name: "a", Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Attempts: 1, Timeout: 2 * time.Second, Verify: 900 * time.Millisecond}},
			map[string]manner{"a": {Off: "lies"}}, nil, false, 2 * time.Second, "a off, a status, a status, a status", "says that it switched off, and that the outlet is on"},
		{"a status that fails is not off", []Device{{Name: "a", Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Attempts: 1, Timeout: time.Second, Verify: 700 * time.Millisecond}},
			map[string]manner{"a": {Status: "error"}}, nil, false, time.Second, "a off, a status, a status", "its status cannot be told: Unable to connect (exit code 1)"},
		{"a status that hangs is not off", []Device{{Name: "a", Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Attempts: 1, Timeout: time.Second}},
			map[string]manner{"a": {Status: "hangs"}}, nil, false, time.Second, "a off, a status", "tells no status within 1s"},
		{"the next level", []Device{device("b", 2), device("a", 1)}, map[string]manner{"a": {Off: "fails"}, "b": ok}, nil,
			true, respite, "a off, a off, b off, b status, b on", "is off: b says so"},
		{"two supplies, on only when both are off", []Device{device("a", 1), device("b", 1)}, map[string]manner{"a": ok, "b": {Slow: time.Second}}, nil,
			true, 2 * time.Second, "a off, a status, a on, b off, b status, b on", "a and b say so, 2s after the order"},
		{"one of two fails, and the other one is on again at the end", []Device{device("a", 1), device("b", 1), device("c", 2)}, map[string]manner{"a": ok, "b": {Off: "fails"}, "c": ok}, nil,
			true, respite, "a off, a status, a on, b off, b off, c off, c status, c on", "is off: c says so"},
		{"the wrong outlet", []Device{device("a", 1)}, map[string]manner{"a": {Off: "lies", Status: "off"}}, func(r *rack) bool { return !r.down() },
			false, DefaultGrace, "a off, a status", "a says off, and the node still answers: is it the right outlet?"},
		{"the wrong outlet, and then the right one", []Device{device("a", 1), device("b", 2)}, map[string]manner{"a": {Off: "lies", Status: "off"}, "b": ok}, func(r *rack) bool { return !r.down() },
			true, DefaultGrace, "a off, a status, a on, b off, b status, b on", "is off: b says so"},
		{"heard for a moment longer", []Device{device("a", 1)}, map[string]manner{"a": ok}, func() func(*rack) bool {
			n := 0
			return func(*rack) bool { n++; return n < 6 }
		}(), true, 5 * listen, "a off, a status, a on", "is off"},
		{"no device", nil, nil, nil, false, 0, "", "node n1 may still be running: no fence device is for it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(tt.devices, tt.manners)
				cfg := Config{Devices: tt.devices}
				if tt.answers != nil {
					cfg.Answers = func(context.Context, string) bool { return tt.answers(r) }
				}
				f := r.fencer(t, cfg)
				var told []Result
				got := f.Fence(t.Context(), Order{Node: "n1", Confirmed: func(res Result) {
					if !r.down() && !slices.ContainsFunc(tt.devices, func(d Device) bool { return tt.manners[d.Name].Off == "lies" }) {
						t.Error("confirmed while the node is up")
					}
					told = append(told, res)
				}})
				if got.Confirmed != tt.confirmed || got.Took() != tt.took || !strings.Contains(got.Reason, tt.reason) || len(told) == 1 != tt.confirmed {
					t.Errorf("got %+v, told %d times; want confirmed %v after %v, %q", got, len(told), tt.confirmed, tt.took, tt.reason)
				}
				calls := r.asked()
				slices.SortStableFunc(calls, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
				if diff := cmp.Diff(tt.calls, strings.Join(calls, ", ")); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What a node's kernel answers is a sign that it is on, unless its device leaves it on.
func TestReached(t *testing.T) {
	power, disks, second := device("a", 1), device("b", 1), device("b", 2)
	disks.LeavesOn, second.LeavesOn = true, true
	for name, tt := range map[string]struct {
		devices   []Device
		lies      bool
		confirmed bool
		took      time.Duration
	}{
		"off":                    {[]Device{power}, false, true, 0},
		"the wrong outlet":       {[]Device{power}, true, false, DefaultGrace},
		"disks alone":            {[]Device{disks}, true, true, 0},
		"both":                   {[]Device{power, disks}, true, false, DefaultGrace},
		"first power, then disk": {[]Device{power, second}, true, true, DefaultGrace},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := manner{}
			if tt.lies {
				m = manner{Off: "lies", Status: "off"}
			}
			r := newRack(tt.devices, map[string]manner{"a": m, "b": m})
			f := r.fencer(t, Config{Devices: tt.devices, Reached: func(context.Context, string) bool { return !r.down() }})
			if got := f.Fence(t.Context(), Order{Node: "n1"}); got.Confirmed != tt.confirmed || got.Took() != tt.took {
				t.Errorf("%s: got %+v after %v, want confirmed %t after %v", name, got, got.Took(), tt.confirmed, tt.took)
			}
		})
	}
}

// The one that holds more shoots first; each device has its own delay, and chance comes
// again at each attempt.
func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := device("a", 1)
		d.Delay, d.DelayRandom = 2*time.Second, 3*time.Second
		r := newRack([]Device{d}, map[string]manner{"a": {Fails: 1}})
		f := r.fencer(t, Config{Devices: []Device{d}})
		var asked []time.Duration
		f.random = func(most time.Duration) time.Duration {
			asked = append(asked, most)
			return time.Duration(len(asked)) * time.Second
		}
		got := f.Fence(t.Context(), Order{Node: "n1", Delay: 5 * time.Second})
		if want := 5*time.Second + 3*time.Second + 4*time.Second + respite; !got.Confirmed || got.Took() != want || len(asked) != 2 || asked[0] != d.DelayRandom {
			t.Errorf("got %v after %v with chances %v; want %v", got, got.Took(), asked, want)
		}
	})
}

// A node that pauses for longer than the listener allows for is heard again in time; one
// that is off is not.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		pause     time.Duration // of the node's signs of life, from the beginning
		confirmed bool
		took      time.Duration
	}{{300 * time.Millisecond, false, DefaultGrace}, {time.Hour, true, 400 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			d := device("a", 1)
			r := newRack([]Device{d}, map[string]manner{"a": {Off: "lies", Status: "off"}})
			began := time.Now()
			f := r.fencer(t, Config{Devices: []Device{d}, Silence: 400 * time.Millisecond, Answers: func(context.Context, string) bool { return time.Since(began) > tt.pause }})
			if got := f.Fence(t.Context(), Order{Node: "n1"}); got.Confirmed != tt.confirmed || got.Took() != tt.took {
				t.Errorf("a pause of %v: %v after %v", tt.pause, got, got.Took())
			}
		})
	}
}

func TestBrokenOff(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 6 * time.Second, 15 * time.Second} { // before, in the delay, in off, in the grace
		synctest.Test(t, func(t *testing.T) {
			d := device("a", 1)
			r := newRack([]Device{d}, map[string]manner{"a": {Slow: 4 * time.Second}})
			f := r.fencer(t, Config{Devices: []Device{d}, Answers: func(context.Context, string) bool { return true }, Grace: time.Minute})
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(after, func() { cancel(errors.New("no majority any more")) })
			began := time.Now()
			got := f.Fence(ctx, Order{Node: "n1", Delay: 5 * time.Second})
			if got.Confirmed || time.Since(began) != after || !strings.HasSuffix(got.Reason, "broken off: no majority any more") {
				t.Errorf("after %v: got %+v", after, got)
			}
		})
	}
}

func TestOneFencingOfANodeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := device("a", 1)
		d.Ports["n2"] = "2"
		r := newRack([]Device{d}, map[string]manner{"a": {Slow: time.Second}})
		f := r.fencer(t, Config{Devices: []Device{d}})
		results := make(chan Result, 3)
		go func() { results <- f.Fence(t.Context(), Order{Node: "n1"}) }()
		go func() { results <- f.Fence(t.Context(), Order{Node: "n2"}) }() // waits for the device
		time.Sleep(time.Second / 2)
		if got := f.Fence(t.Context(), Order{Node: "n1"}); got.Confirmed || !strings.HasSuffix(got.Reason, "it has been being fenced for 500ms") {
			t.Errorf("a second one at once: %+v", got)
		}
		for range 2 {
			if got := <-results; !got.Confirmed {
				t.Errorf("%+v", got)
			}
		}
		if got := f.Fence(t.Context(), Order{Node: "n1"}); !got.Confirmed {
			t.Errorf("when the first is done: %+v", got)
		}
		if r.crowded {
			t.Error("a device was asked two things at once")
		}
	})
}

func TestBadDevices(t *testing.T) {
	good := device("a", 1)
	for want, change := range map[string]func(*Device){
		"it has no name":                       func(d *Device) { d.Name = "" },
		"nor a name that begins with fence_":   func(d *Device) { d.Agent = "../bin/sh" },
		`there is no action "explode"`:         func(d *Device) { d.Action = "explode" },
		"it is for no node":                    func(d *Device) { d.Ports = nil },
		"parameter ip has a control character": func(d *Device) { d.Parameters = map[string]string{"ip": "x\naction=on"} },
		`"plug" cannot be a parameter`:         func(d *Device) { d.Parameters = map[string]string{"plug": "3"} },
		`"a b" cannot be a parameter`:          func(d *Device) { d.Parameters = map[string]string{"a b": "3"} },
		`"action" cannot be a secret`:          func(d *Device) { d.Secrets = map[string]string{"action": "/x"} },
		"is a secret, too": func(d *Device) {
			d.Parameters, d.Secrets = map[string]string{"password": "x"}, map[string]string{"password": "/x"}
		},
		"has a control character": func(d *Device) { d.Ports = map[string]string{"n1": "1\nplug=2"} },
	} {
		d := good
		change(&d)
		if _, err := New(Config{Devices: []Device{d}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f, err := New(Config{Devices: []Device{good}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set([]Device{good, good}); err == nil || !f.CanFence("n1") || f.CanFence("n2") {
		t.Errorf("two of a name: %v", err)
	}
	if err := f.Set(nil); err != nil || f.CanFence("n1") {
		t.Errorf("none: %v", err)
	}
}
