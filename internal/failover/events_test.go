// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/resources"
)

// toldUnits is a systemd that a test speaks for.
type toldUnits struct {
	agents.Units
	states chan unit.State
}

func (u toldUnits) Watch(ctx context.Context, _ string, f func(unit.State)) error {
	for {
		select {
		case s := <-u.states:
			f(s)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A unit that fails is looked at within 50 ms, and long before its next monitor.
func TestUnitThatFailsIsNoticedAtOnce(t *testing.T) {
	dir := t.TempDir()
	note := "facts={\"unit\":\"x.service\",\"process\":{}}\nannounced=2026-11-22T04:00:00Z\nstarted=2026-11-22T04:00:00Z\n"
	if err := os.WriteFile(filepath.Join(dir, "mta.note"), []byte(note), 0o600); err != nil {
		t.Fatal(err)
	}
	units := toldUnits{states: make(chan unit.State)}
	w := newWorld()
	types := w.types("n1", nil)
	e := New(Config{Types: types, Units: units, StateDir: dir, Log: slog.New(slog.DiscardHandler)})
	r := thingOf("mta")
	d, err := e.driver(r)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan time.Time, 1)
	s := shape{parts: []part{{driver: d}}, window: time.Hour, compare: func(a, b resources.Resource) change { return compare(a, b, e.kinds) }}
	tell := func(n news) {
		if n.failure != nil {
			failed <- time.Now()
		}
	}
	tenure := newTenure("g", 1, s, e.Log, tell, e.watch)
	go tenure.run(t.Context())
	units.states <- unit.State{Active: "active"} // nobody asks before it is up
	w.on("n1", "mta", func(th *thing) { th.failed = true })
	from := time.Now()
	units.states <- unit.State{Active: "failed"}
	select {
	case at := <-failed:
		const most = 50 * time.Millisecond // on a machine that is not busy
		if took := at.Sub(from); took > most {
			t.Logf("it took %s, more than %s", took, most)
		}
	case <-time.After(5 * time.Second): // the next monitor would come after 10 s
		t.Fatal("nobody noticed")
	}
	tenure.order(order{end: true})
	<-tenure.done
}

// What vanishes while a resource is being started is noticed when it is up, and not by its
// first monitor.
func TestLossDuringStartIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set("n1/ip/start", fault{last: time.Second})
		w.set("n1/ip/monitor", fault{err: errors.New("address not held"), once: true})
		e := New(Config{Types: w.types("n1", nil), StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		d, err := e.driver(thingOf("ip"))
		if err != nil {
			t.Fatal(err)
		}
		s := shape{parts: []part{{driver: d}}, window: time.Hour, compare: func(a, b resources.Resource) change { return compare(a, b, e.kinds) }}
		failed := make(chan time.Time, 1)
		tell := func(n news) {
			if n.failure != nil {
				failed <- time.Now()
			}
		}
		tenure := newTenure("g", 1, s, e.Log, tell, e.watch)
		began := time.Now()
		go tenure.run(t.Context())
		time.Sleep(time.Second / 2)
		e.bell.ring()
		if took := (<-failed).Sub(began); took > 2*time.Second {
			t.Errorf("noticed after %s", took)
		}
		tenure.order(order{end: true})
		<-tenure.done
	})
}
