// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Device)
		how    manner
		reason string
	}{
		{"fine", func(*Device) {}, manner{Slow: time.Second}, "answers, in 3s"},
		{"hangs", func(*Device) {}, manner{Slow: time.Hour}, "did not answer within 10s"},
		{"status hangs", func(*Device) {}, manner{Status: "hangs"}, "outlet 1 of node n1: did not answer within 10s"},
		{"status fails", func(*Device) {}, manner{Status: "error"}, "outlet 1 of node n1: cannot tell the status: Unable to connect (exit code 1)"},
		{"this node's outlet is off", func(*Device) {}, manner{Status: "off"}, "outlet 1 of node n1: says off, and the node runs: is it the right outlet?"},
		{"another node that answers", func(d *Device) { d.Ports = map[string]string{"n2": "2"} }, manner{Status: "off"}, "outlet 2 of node n2: says off, and the node runs"},
		{"another node that does not", func(d *Device) { d.Ports = map[string]string{"n3": "3"} }, manner{Status: "off"}, "answers, in 0s"},
		{"a parameter that the agent has not", func(d *Device) { d.Parameters["lanpuls"] = "1" }, manner{}, `fence_x has no parameter "lanpuls"; did you mean "lanplus"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := device("a", 1)
				d.Parameters = map[string]string{"ip": "192.0.2.1"}
				tt.change(&d)
				r := newRack([]Device{d}, map[string]manner{"a": tt.how})
				f := r.fencer(t, Config{Devices: []Device{d}, Node: "n1", Answers: func(_ context.Context, node string) bool { return node == "n2" }})
				c, err := f.Check(t.Context(), "a")
				if err != nil || !strings.HasPrefix(c.Reason, tt.reason) || c.OK != strings.HasPrefix(c.Reason, "answers") {
					t.Errorf("got %+v, %v; want %q", c, err, tt.reason)
				}
			})
		})
	}
}

// A check that is under way keeps no fencing waiting, and says nothing of the device.
func TestCheckGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := device("a", 1)
		d.Parameters = map[string]string{"ip": "192.0.2.1"}
		r := newRack([]Device{d}, map[string]manner{"a": {Slow: 4 * time.Second}})
		f := r.fencer(t, Config{Devices: []Device{d}})
		errs := make(chan error, 2)
		check := func() {
			_, err := f.Check(t.Context(), "a")
			errs <- err
		}
		go check()
		time.Sleep(time.Second)
		time.AfterFunc(time.Second, check) // while it is being fenced
		if got := f.Fence(t.Context(), Order{Node: "n1"}); !got.Confirmed || got.Took() != 8*time.Second {
			t.Errorf("%v after %v", got, got.Took())
		}
		if err := <-errs; !errors.Is(err, ErrYielded) {
			t.Errorf("the check: %v", err)
		}
		if err := <-errs; err != nil && !errors.Is(err, ErrYielded) { // to the switching on again, if it began before
			t.Errorf("the second check: %v", err)
		}
		if _, err := f.Check(t.Context(), "b"); !errors.Is(err, ErrNoDevice) {
			t.Errorf("no such device: %v", err)
		}
		if r.crowded {
			t.Error("asked two things at once")
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := device("good", 1), device("bad", 1)
		for _, d := range []*Device{&good, &bad} {
			d.Parameters = map[string]string{"ip": "192.0.2.1"}
		}
		r := newRack([]Device{good, bad}, map[string]manner{"bad": {Status: "error"}})
		f := r.fencer(t, Config{Devices: []Device{good, bad}})
		f.random = func(time.Duration) time.Duration { return 0 }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		count := map[string]int{}
		go f.Watch(ctx, func(c Check) {
			mu.Lock()
			defer mu.Unlock()
			count[c.Device]++
		})
		seen := func(good, bad int, when string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if count["good"] != good || count["bad"] != bad {
				t.Errorf("%s: %v, want %d and %d", when, count, good, bad)
			}
		}
		seen(1, 1, "at the start")
		time.Sleep(time.Hour + time.Second)
		seen(2, 13, "after an hour")
		if err := f.Set([]Device{good}); err != nil {
			t.Fatal(err)
		}
		seen(3, 13, "with other devices")
	})
}
