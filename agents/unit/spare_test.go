// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// Where no bus answers, systemd is asked itself. There is no bus then to be greeted or to
// be told what to pass on, and systemd may overlook what comes with the end of the login.
func TestSpare(t *testing.T) {
	buses := map[string]dialFunc{
		"refuses": func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") },
		"hangs":   func(context.Context) (net.Conn, error) { c, _ := net.Pipe(); return c, nil },
		"does not accept": func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for name, dial := range buses {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, o op, d *double, m *Manager) {
				m.dial, m.spare = dial, d.dial
				for _, method := range []string{"Hello", "AddMatch", "RemoveMatch"} {
					d.always(method, func(*client, *dbus.Message) bool {
						t.Errorf("systemd was asked for %s, which is a bus's", method)
						return true
					})
				}
				overlooked := false
				d.on("Ping", func(*client, *dbus.Message) { overlooked = true })
				began := time.Now()
				done := o.begin(t, m, time.Minute)
				time.Sleep(2 * busPatience)
				synctest.Wait()
				d.finish("done", o.to)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if !overlooked {
					t.Error("what systemd may overlook was more than a ping")
				}
				if took := time.Since(began); took > 2*busPatience {
					t.Errorf("took %v", took)
				}
				if diff := cmp.Diff(o.asks(1), d.asked()); diff != "" {
					t.Errorf("requests: -want +got\n%s", diff)
				}
			})
		})
	}
}

// What both of them said is in the error.
func TestSpareRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, own := errors.New("no bus"), errors.New("no systemd")
		m := New("", nil)
		m.dial = func(context.Context) (net.Conn, error) { return nil, bus }
		m.spare = func(context.Context) (net.Conn, error) { return nil, own }
		_, err := m.State(within(t, time.Minute), "mta")
		if !errors.Is(err, ErrUnknown) || !errors.Is(err, bus) || !errors.Is(err, own) {
			t.Error(err)
		}
	})
}

// An address that was given is the only one that is asked.
func TestSpareOnlyByDefault(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
	if New("", nil).spare == nil {
		t.Error("systemd's own socket is not asked")
	}
	if New("unix:path=/nowhere", nil).spare != nil {
		t.Error("an address was given, but systemd's own socket is asked, too")
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
	if New("", nil).spare != nil {
		t.Error("the environment names an address, but systemd's own socket is asked, too")
	}
}
