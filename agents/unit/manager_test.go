// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// op is one of the four that wait for a job.
type op struct {
	name         string
	from, to     string // state before, and where it should lead
	method       string
	call         func(*Manager, context.Context, string) error
	resets       bool // clears failures first
	leavesNoSign bool
}

var ops = []op{
	{"start", "inactive", "active", "StartUnit", (*Manager).Start, true, false},
	{"stop", "active", "inactive", "StopUnit", (*Manager).Stop, false, false},
	{"restart", "active", "active", "RestartUnit", (*Manager).Restart, true, false},
	{"reload", "active", "active", "ReloadUnit", (*Manager).Reload, false, true},
}

// asks is what the double should have been asked for when the job was asked for n times.
func (o op) asks(n int) []string {
	var want []string
	if o.resets {
		want = append(want, "ResetFailedUnit")
	}
	return append(want, slices.Repeat([]string{o.method}, n)...)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// begin calls o and returns a channel with its error.
func (o op) begin(t *testing.T, m *Manager, limit time.Duration) <-chan error {
	done := make(chan error, 1)
	ctx := within(t, limit)
	go func() { done <- o.call(m, ctx, "mta") }()
	return done
}

// each runs f for each op in a bubble of its own, which also shows that no goroutine is left.
func each(t *testing.T, f func(*testing.T, op, *double, *Manager)) {
	for _, o := range ops {
		t.Run(o.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(o.from)
				f(t, o, d, d.manager(t))
			})
		})
	}
}

func TestJobResults(t *testing.T) {
	for _, result := range []string{"done", "failed", "timeout", "canceled", "dependency", "skipped", "collected", ""} {
		for _, active := range []string{"active", "inactive", "failed", "activating", "deactivating", "maintenance", "nonsense"} {
			t.Run(result+"/"+active, func(t *testing.T) {
				each(t, func(t *testing.T, o op, d *double, m *Manager) {
					done := o.begin(t, m, time.Minute)
					synctest.Wait()
					d.finish(result, active)
					err := <-done
					good := active == o.to || o.name == "stop" && active == "failed"
					if good && (result == "done" || result == "" && !o.leavesNoSign) {
						if err != nil {
							t.Fatal(err)
						}
						return
					}
					var je *JobError
					if !errors.As(err, &je) || je.Op != o.name || je.State.Active != active || je.Unit != theUnit {
						t.Fatalf("got %v", err)
					}
					if result != "" && je.Result != result {
						t.Fatalf("got result %q in %v", je.Result, err)
					}
				})
			})
		}
	}
}

// A job can be over before its number has come back.
func TestJobEndsBeforeTheReply(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		d.on(o.method, func(c *client, msg *dbus.Message) {
			path := d.queue(o.name)
			d.finish("done", o.to)
			c.reply(msg, path)
		})
		began := time.Now()
		if err := <-o.begin(t, m, time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("took %v: not by the signal", took)
		}
	})
}

func TestForeignSignals(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		done := o.begin(t, m, time.Minute)
		synctest.Wait()
		job := dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
		for _, body := range [][]any{
			{uint32(9), dbus.ObjectPath("/org/freedesktop/systemd1/job/9"), theUnit, "failed"},
			{uint32(1), job, "other.service", "failed"},
			{uint32(1), string(job), theUnit, uint32(0)},
			{uint32(1), job, theUnit},
			{job}, {},
		} {
			d.signal(systemdPath, managerFace, "JobRemoved", body...)
		}
		d.signal(systemdPath, "org.example.Manager", "JobRemoved", uint32(1), job, theUnit, "failed")
		d.signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", systemdName, ":1.1", "")
		d.signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", uint32(1))
		for range 10 * signalBuffer { // more than anybody reads
			d.signal(systemdPath, managerFace, "JobRemoved", uint32(9), dbus.ObjectPath("/org/freedesktop/systemd1/job/9"), theUnit, "failed")
		}
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("ended by a foreign signal: %v", err)
		default:
		}
		d.finish("done", o.to)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// The connection breaks around the request and is there again at once. What became of
// the request decides, and it is repeated only if it can't have been executed.
func TestConnectionLost(t *testing.T) {
	type act func(o op, d *double, c *client, m *dbus.Message)
	type check func(t *testing.T, o op, err error)
	tests := []struct {
		name  string
		at    act                   // instead of the answer to the request
		later func(o op, d *double) // when all is quiet again
		asked int                   // number of requests
		want  check                 // of the operation's error
		but   map[string]check      // for some operations
	}{
		{
			name:  "before the request is read",
			at:    func(o op, d *double, c *client, m *dbus.Message) { c.Close() },
			later: finishWell, asked: 2, want: isSuccess,
			but: map[string]check{"reload": isLost}, // whose trace can't be told from none
		},
		{
			name:  "job is queued, reply is lost",
			at:    func(o op, d *double, c *client, m *dbus.Message) { d.queue(o.name); c.Close() },
			later: finishWell, asked: 1, want: isSuccess,
		},
		{
			name:  "job is queued, reply is lost, job fails",
			at:    func(o op, d *double, c *client, m *dbus.Message) { d.queue(o.name); c.Close() },
			later: finishBadly, asked: 1, want: isFailure,
		},
		{
			name: "job is done, reply is lost",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				d.queue(o.name)
				c.Close()
				finishWell(o, d)
			},
			asked: 1, want: isSuccess, but: map[string]check{"reload": isLost},
		},
		{
			name:  "reply has come",
			at:    func(o op, d *double, c *client, m *dbus.Message) { c.reply(m, d.queue(o.name)); c.Close() },
			later: finishWell, asked: 1, want: isSuccess,
		},
		{
			name:  "reply has come, job fails",
			at:    func(o op, d *double, c *client, m *dbus.Message) { c.reply(m, d.queue(o.name)); c.Close() },
			later: finishBadly, asked: 1, want: isFailure,
		},
		{
			name: "reply has come, job is done meanwhile",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.reply(m, d.queue(o.name))
				c.Close()
				finishWell(o, d)
			},
			asked: 1, want: isSuccess, but: map[string]check{"reload": isLost},
		},
		{
			name: "reply has come, job fails meanwhile",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.reply(m, d.queue(o.name))
				c.Close()
				finishBadly(o, d)
			},
			asked: 1, want: isLost,
		},
		{
			name: "reply has come, another's job takes the place meanwhile",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.reply(m, d.queue(o.name))
				c.Close()
				d.become("deactivating")
				d.queue("verify-active")
			},
			asked: 1, want: isLost,
		},
		{
			name: "reply is lost, another's job is queued",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.Close()
				d.queue("verify-active")
			},
			asked: 1, want: isLost,
		},
		{
			name: "right behind the job's end",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.reply(m, d.queue(o.name))
				d.finish("canceled", o.to)
				c.Close()
			},
			asked: 1, want: isCanceled,
		},
		{
			name: "in the middle of the reply",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				d.queue(o.name)
				c.Write([]byte{'l', 2, 1, 1, 8, 0})
				c.Close()
			},
			later: finishWell, asked: 1, want: isSuccess,
		},
		{
			name: "only systemd is gone, reply is lost",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				d.queue(o.name)
				c.refuse(m, "org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected from message bus without replying")
			},
			later: finishWell, asked: 1, want: isSuccess,
		},
		{
			name: "only systemd is gone, comes back and doesn't know who wants signals",
			at: func(o op, d *double, c *client, m *dbus.Message) {
				c.reply(m, d.queue(o.name))
				d.signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", systemdName, "", ":1.7")
				d.always("Subscribe", func(c *client, m *dbus.Message) bool { c.reply(m); finishWell(o, d); return true })
			},
			asked: 1, want: isSuccess,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, o op, d *double, m *Manager) {
				d.on(o.method, func(c *client, msg *dbus.Message) { test.at(o, d, c, msg) })
				done := o.begin(t, m, time.Minute)
				if test.later != nil {
					time.Sleep(time.Second) // of the bubble's clock: the manager is back by then
					synctest.Wait()
					test.later(o, d)
				}
				began := time.Now()
				err := <-done
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				want, asked := test.want, test.asked
				if but, ok := test.but[o.name]; ok {
					want, asked = but, 1
				}
				want(t, o, err)
				if diff := cmp.Diff(o.asks(asked), d.asked()); diff != "" {
					t.Errorf("requests: -want +got\n%s", diff)
				}
			})
		})
	}
}

func finishWell(o op, d *double) { d.finish("done", o.to) }

// finishBadly leaves the unit as a failed job does: what was to be stopped still runs.
func finishBadly(o op, d *double) {
	if o.name == "stop" {
		d.finish("failed", "active")
	} else {
		d.finish("failed", "failed")
	}
}

func isSuccess(t *testing.T, o op, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func jobResult(t *testing.T, err error) string {
	t.Helper()
	var je *JobError
	if !errors.As(err, &je) {
		t.Fatalf("got %v, want a JobError", err)
	}
	return je.Result
}

func isFailure(t *testing.T, o op, err error) {
	t.Helper()
	if r := jobResult(t, err); r != "failed" || errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func isCanceled(t *testing.T, o op, err error) {
	t.Helper()
	if r := jobResult(t, err); r != "canceled" {
		t.Error(err)
	}
}

func isLost(t *testing.T, o op, err error) {
	t.Helper()
	if r := jobResult(t, err); r != ResultLost || !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// More signals than fit, while nobody reads them: the reply behind them must come through.
func TestFlood(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		d.on(o.method, func(c *client, msg *dbus.Message) {
			path := d.queue(o.name)
			for range 4 * signalBuffer {
				d.signal(systemdPath, managerFace, "JobRemoved", uint32(9), dbus.ObjectPath("/org/freedesktop/systemd1/job/9"), theUnit, "failed")
			}
			d.finish("done", o.to)
			c.reply(msg, path)
		})
		err := <-o.begin(t, m, time.Minute)
		if o.leavesNoSign {
			isLost(t, o, err)
		} else if err != nil {
			t.Error(err)
		}
	})
}

// An active unit that is about to be stopped isn't started already, nor is an inactive one that is
// about to be started stopped.
func TestQueuedTheOtherWay(t *testing.T) {
	for _, test := range []struct{ op, active, queued string }{{"start", "active", "stop"}, {"stop", "inactive", "start"}} {
		t.Run(test.op, func(t *testing.T) {
			each(t, func(t *testing.T, o op, d *double, m *Manager) {
				if o.name != test.op {
					return
				}
				d.become(test.active)
				d.queue(test.queued)
				done := o.begin(t, m, time.Minute)
				synctest.Wait()
				d.finish("done", o.to)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(o.asks(1), d.asked()); diff != "" {
					t.Errorf("requests: -want +got\n%s", diff)
				}
			})
		})
	}
}
