// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// calls are all methods that end by themselves.
var calls = map[string]func(*Manager, context.Context) error{
	"State": func(m *Manager, ctx context.Context) error {
		s, err := m.State(ctx, "mta")
		if err != nil && (s != State{Name: theUnit}) {
			return errors.New("a state came with the error")
		}
		return err
	},
	"Processes": func(m *Manager, ctx context.Context) error {
		_, err := m.Processes(ctx, "mta")
		return err
	},
	"Start":       func(m *Manager, ctx context.Context) error { return m.Start(ctx, "mta") },
	"Stop":        func(m *Manager, ctx context.Context) error { return m.Stop(ctx, "mta") },
	"Restart":     func(m *Manager, ctx context.Context) error { return m.Restart(ctx, "mta") },
	"Reload":      func(m *Manager, ctx context.Context) error { return m.Reload(ctx, "mta") },
	"Kill":        func(m *Manager, ctx context.Context) error { return m.Kill(ctx, "mta", syscall.SIGTERM) },
	"ResetFailed": func(m *Manager, ctx context.Context) error { return m.ResetFailed(ctx, "mta") },
}

func hang(*client, *dbus.Message) bool { return false }

// Wherever the other side falls silent, each call ends when its time is up, and says that
// it doesn't know.
func TestSilence(t *testing.T) {
	silence := map[string]func(d *double, m *Manager){
		"dialling": func(d *double, m *Manager) {
			m.dial = func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"login": func(d *double, m *Manager) {
			m.dial = func(ctx context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				context.AfterFunc(ctx, func() { ours.Close() })
				return theirs, nil
			}
		},
		"Hello": func(d *double, m *Manager) { d.always("Hello", hang) },
		"all that comes after Hello": func(d *double, m *Manager) {
			d.on("Hello", func(c *client, msg *dbus.Message) {
				c.reply(msg, ":1.1")
				<-c.gone // not a byte is taken any more
			})
		},
		"all answers": func(d *double, m *Manager) {
			for _, method := range []string{"ListUnitsByNames", "Get", "GetUnitProcesses", "KillUnit", "ResetFailedUnit"} {
				d.always(method, hang)
			}
		},
	}
	for name, silent := range silence {
		for method, call := range calls {
			t.Run(name+"/"+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDouble("active")
					m := d.manager(t)
					silent(d, m)
					endsAt(t, 7*time.Second, func(ctx context.Context) error { return call(m, ctx) })
				})
			})
		}
	}
}

// endsAt calls f with a deadline and wants it to end just then, with ErrUnknown.
func endsAt(t *testing.T, limit time.Duration, f func(context.Context) error) {
	t.Helper()
	began := time.Now()
	err := f(within(t, limit))
	if took := time.Since(began); took != limit {
		t.Errorf("ended after %v, want %v", took, limit)
	}
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnknown and DeadlineExceeded", err)
	}
}

func TestSilenceAroundJob(t *testing.T) {
	for _, method := range []string{"AddMatch", "Subscribe", "the request", "nothing but the end"} {
		t.Run(method, func(t *testing.T) {
			each(t, func(t *testing.T, o op, d *double, m *Manager) {
				if method == "the request" {
					method = o.method
				}
				d.always(method, hang)
				endsAt(t, 30*time.Second, func(ctx context.Context) error { return o.call(m, ctx, "mta") })
			})
		})
	}
}

// A signal that got lost costs time, not the truth.
func TestEndWithoutSignal(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		done := o.begin(t, m, time.Minute)
		synctest.Wait()
		d.mu.Lock()
		listeners := d.clients
		d.clients = nil // so nobody hears of it
		d.mu.Unlock()
		d.finish("done", o.to)
		began := time.Now()
		err := <-done
		d.mu.Lock()
		d.clients = append(d.clients, listeners...)
		d.mu.Unlock()
		if took := time.Since(began); took > lookEvery {
			t.Errorf("noticed after %v", took)
		}
		if o.leavesNoSign {
			isLost(t, o, err)
		} else if err != nil {
			t.Error(err)
		}
	})
}

// A bus that is gone for a while holds a job's end back; the deadline still counts.
func TestBusAwayDuringJob(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		done := o.begin(t, m, time.Hour)
		synctest.Wait()
		d.setDown(true)
		time.Sleep(10 * time.Minute)
		d.setDown(false)
		time.Sleep(2 * longestPause)
		d.finish("done", o.to)
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.become(o.from)
		again := o.begin(t, m, time.Minute)
		synctest.Wait()
		d.setDown(true)
		began := time.Now()
		if err := <-again; !errors.Is(err, ErrUnknown) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestBusAwayDuringRead(t *testing.T) {
	for away, ok := range map[time.Duration]bool{0: true, busPatience - longestPause: true, busPatience + 2*longestPause: false} {
		for method, call := range calls {
			if method == "Start" || method == "Stop" || method == "Restart" || method == "Reload" {
				continue
			}
			t.Run(away.String()+"/"+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDouble("active")
					m := d.manager(t)
					if err := call(m, t.Context()); err != nil {
						t.Fatal(err)
					}
					d.setDown(true)
					back := time.AfterFunc(away, func() { d.setDown(false) })
					defer back.Stop()
					began := time.Now()
					err := call(m, t.Context()) // no deadline at all
					if ok != (err == nil) || !ok && !errors.Is(err, ErrUnknown) {
						t.Errorf("got %v", err)
					}
					if took := time.Since(began); took > busPatience+longestPause {
						t.Errorf("took %v", took)
					}
				})
			})
		}
	}
}

func TestClose(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		done := o.begin(t, m, time.Minute)
		watched := make(chan error, 1)
		go func() { watched <- m.Watch(t.Context(), "mta", func(State) {}) }()
		synctest.Wait()
		began := time.Now()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{<-done, <-watched, o.call(m, t.Context(), "mta"), m.Kill(t.Context(), "mta", syscall.SIGKILL)} {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("got %v after Close", err)
			}
		}
		if took := time.Since(began); took > longestPause {
			t.Errorf("took %v", took)
		}
	})
	if err := New("unix:path=/nowhere", nil).Close(); err != nil {
		t.Errorf("Close of an unused Manager: %v", err)
	}
}

// What systemd refuses is told at once and not tried again.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		want error
	}{
		{"org.freedesktop.systemd1.NoSuchUnit", ErrNotFound},
		{"org.freedesktop.systemd1.UnitMasked", ErrMasked},
		{"org.freedesktop.systemd1.TransactionIsDestructive", nil},
		{"org.freedesktop.DBus.Error.AccessDenied", nil},
		{"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", nil},
		{"System.Error.EBUSY", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, o op, d *double, m *Manager) {
				d.on(o.method, func(c *client, msg *dbus.Message) { c.refuse(msg, test.name, "because") })
				began := time.Now()
				err := o.call(m, within(t, time.Minute), "mta")
				if time.Since(began) > 0 {
					t.Errorf("took %v", time.Since(began))
				}
				if o.name == "stop" && errors.Is(test.want, ErrNotFound) {
					if err != nil { // it went away by itself: what was wanted
						t.Error(err)
					}
					return
				}
				if err == nil || errors.Is(err, ErrUnknown) || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("got %v", err)
				}
				if diff := cmp.Diff(o.asks(1), d.asked()); diff != "" {
					t.Errorf("requests: -want +got\n%s", diff)
				}
			})
		})
	}
}

// The bus itself may refuse a match rule (too many of them); waiting without it would be guessing.
func TestMatchRuleRefused(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		d.always("AddMatch", func(c *client, msg *dbus.Message) bool {
			c.refuse(msg, "org.freedesktop.DBus.Error.LimitsExceeded", "too many")
			return false
		})
		endsAt(t, 3*time.Second, func(ctx context.Context) error { return o.call(m, ctx, "mta") })
		if got := d.asked(); len(got) != len(o.asks(0)) {
			t.Errorf("asked for %v", got)
		}
	})
}

// A systemd that won't tell about a job that it has taken has not refused the job.
func TestLookRefused(t *testing.T) {
	each(t, func(t *testing.T, o op, d *double, m *Manager) {
		d.on(o.method, func(c *client, msg *dbus.Message) {
			c.reply(msg, d.queue(o.name))
			c.Close()
			d.always("ListUnitsByNames", func(c *client, msg *dbus.Message) bool {
				c.refuse(msg, "org.freedesktop.DBus.Error.UnknownMethod", "not now")
				return false
			})
		})
		endsAt(t, time.Minute, func(ctx context.Context) error { return o.call(m, ctx, "mta") })
	})
}

func TestLies(t *testing.T) {
	lies := map[string][]any{
		"no unit":       {[]unitInfo{}},
		"two units":     {[]unitInfo{{Path: "/", JobPath: "/"}, {Path: "/", JobPath: "/"}}},
		"a number":      {uint32(1)},
		"nothing":       {},
		"short structs": {[]struct{ A, B string }{{"a", "b"}}},
	}
	for name, lie := range lies {
		for method, call := range calls {
			t.Run(name+"/"+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDouble("active")
					m := d.manager(t)
					always := func(c *client, msg *dbus.Message) bool { c.reply(msg, lie...); return false }
					d.always("ListUnitsByNames", always)
					d.always("GetUnitProcesses", always)
					err := call(m, within(t, time.Minute))
					if method == "Kill" || method == "ResetFailed" || name == "no unit" && method == "Processes" {
						if err != nil {
							t.Error(err)
						}
						return
					}
					if !errors.Is(err, ErrUnknown) {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

func TestLeftovers(t *testing.T) {
	for name, after := range map[string]time.Duration{"that end in time": leftoverGrace / 2, "that stay": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble("inactive")
				m := d.manager(t)
				d.pids = []uint32{77, 5, 77}
				end := time.AfterFunc(after, func() {
					d.mu.Lock()
					defer d.mu.Unlock()
					d.pids = nil
				})
				defer end.Stop()
				pids, err := m.Processes(t.Context(), "mta")
				if diff := cmp.Diff([]int{5, 77}, pids); diff != "" || err != nil {
					t.Errorf("processes: %v -want +got\n%s", err, diff)
				}
				began := time.Now()
				err = m.Stop(within(t, time.Minute), "mta")
				if took := time.Since(began); took > leftoverGrace+longestPause {
					t.Errorf("took %v", took)
				}
				if ok := after < leftoverGrace; ok != (err == nil) || !ok && !errors.Is(err, ErrLeftovers) {
					t.Errorf("got %v", err)
				}
				if got := d.asked(); len(got) != 0 {
					t.Errorf("a stopped unit was asked for %v", got)
				}
			})
		})
	}
}

// When time is up before the processes are gone, they are known to be left.
func TestLeftoversAtDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble("inactive")
		m := d.manager(t)
		d.pids = []uint32{5}
		if err := m.Stop(within(t, leftoverGrace/2), "mta"); !errors.Is(err, ErrLeftovers) {
			t.Errorf("got %v", err)
		}
	})
}
