// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// watching runs a Watch and gives f what it has told so far; f's bubble ends with it.
func watching(t *testing.T, f func(t *testing.T, d *double, told func() []string)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble("inactive")
		m := d.manager(t)
		ctx, cancel := context.WithCancel(t.Context())
		var states []string // written by Watch only; read while it waits
		done := make(chan error, 1)
		go func() {
			done <- m.Watch(ctx, "mta", func(s State) {
				if s.Active == "" && s != (State{Name: theUnit}) {
					t.Errorf("half a state: %+v", s)
				}
				states = append(states, s.Active)
			})
		}()
		f(t, d, func() []string {
			synctest.Wait()
			return slices.Clone(states)
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
}

func want(t *testing.T, told func() []string, states ...string) {
	t.Helper()
	if diff := cmp.Diff(states, told()); diff != "" {
		t.Fatalf("told states: -want +got\n%s", diff)
	}
}

// change changes the unit and signals it, as systemd does.
func (d *double) change(active string) {
	d.become(active)
	d.signal(unitPath(theUnit), propsFace, "PropertiesChanged", unitFace)
}

func TestWatch(t *testing.T) {
	watching(t, func(t *testing.T, d *double, told func() []string) {
		want(t, told, "inactive")
		d.change("activating")
		want(t, told, "inactive", "activating")
		d.change("activating")
		want(t, told, "inactive", "activating")
		d.signal(unitPath("other.service"), propsFace, "PropertiesChanged", unitFace)
		d.change("active")
		want(t, told, "inactive", "activating", "active")
	})
}

// Thousands of changes may be told as few, but the last one is told.
func TestWatchStorm(t *testing.T) {
	watching(t, func(t *testing.T, d *double, told func() []string) {
		want(t, told, "inactive")
		for range 20 * signalBuffer {
			d.change("activating")
			d.change("active")
		}
		d.change("failed")
		if got := told(); got[len(got)-1] != "failed" {
			t.Fatalf("last told: %v", got[len(got)-1])
		}
	})
}

func TestWatchReconnects(t *testing.T) {
	watching(t, func(t *testing.T, d *double, told func() []string) {
		want(t, told, "inactive")
		d.become("active") // unheard, for the connection breaks
		d.cut()
		want(t, told, "inactive", "active")
		d.cut()
		want(t, told, "inactive", "active")
		d.setDown(true)
		time.Sleep(time.Minute)
		want(t, told, "inactive", "active", "")
		d.become("failed")
		d.setDown(false)
		time.Sleep(longestPause)
		want(t, told, "inactive", "active", "", "failed")
		d.change("inactive")
		want(t, told, "inactive", "active", "", "failed", "inactive")
	})
}

// A systemd that executes itself, or met a new bus, sends nothing until it is asked again.
func TestWatchNewOwner(t *testing.T) {
	watching(t, func(t *testing.T, d *double, told func() []string) {
		want(t, told, "inactive")
		d.become("active")
		d.signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", systemdName, "", ":1.9")
		want(t, told, "inactive", "active")
	})
}

// A signal that got lost is made up for.
func TestWatchLooks(t *testing.T) {
	watching(t, func(t *testing.T, d *double, told func() []string) {
		want(t, told, "inactive")
		d.become("failed")
		time.Sleep(lookEvery)
		want(t, told, "inactive", "failed")
	})
}

func TestWatchName(t *testing.T) {
	if err := New("", nil).Watch(t.Context(), "a/b", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
