// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestAnswers(t *testing.T) {
	tests := []struct {
		active           string
		running, stopped Answer
	}{
		{"active", Yes, No},
		{"reloading", Yes, No},
		{"refreshing", Yes, No},
		{"inactive", No, Yes},
		{"failed", No, Yes},
		{"activating", Unknown, Unknown},
		{"deactivating", Unknown, Unknown},
		{"maintenance", Unknown, Unknown},
		{"", Unknown, Unknown},
		{"Active", Unknown, Unknown},
		{"something new", Unknown, Unknown},
	}
	for _, test := range tests {
		for _, load := range []string{"loaded", "masked", "not-found", "error", "bad-setting", ""} {
			s := State{Active: test.active, Load: load}
			if s.Running() != test.running || s.Stopped() != test.stopped {
				t.Errorf("%q, %q: running %v, stopped %v", test.active, load, s.Running(), s.Stopped())
			}
		}
	}
	if got := fmt.Sprint(Unknown, No, Yes, Answer(9)); got != "unknown no yes unknown" {
		t.Errorf("answers read %q", got)
	}
}

func TestStateString(t *testing.T) {
	for want, s := range map[string]State{
		"unknown":          {Name: theUnit},
		"active (running)": {Load: "loaded", Active: "active", Sub: "running", Result: "success"},
		"failed (failed), result exit-code, main process exited with 3":       {Load: "loaded", Active: "failed", Sub: "failed", Result: "exit-code", MainCode: "exited", MainStatus: 3},
		"inactive (dead), masked, start job queued":                           {Load: "masked", Active: "inactive", Sub: "dead", Job: "start"},
		"failed (failed), result signal, main process killed by signal 9":     {Load: "loaded", Active: "failed", Sub: "failed", Result: "signal", MainCode: "killed", MainStatus: 9},
		"failed (failed), result core-dump, main process killed by signal 11": {Load: "loaded", Active: "failed", Sub: "failed", Result: "core-dump", MainCode: "dumped", MainStatus: 11},
	} {
		if got := s.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// What isn't surely systemd's own answer must not be taken for one.
func TestAnswered(t *testing.T) {
	for _, name := range []string{"NoReply", "Disconnected", "Timeout", "TimedOut", "ServiceUnknown", "NameHasNoOwner", "Failed", "NoMemory",
		"LimitsExceeded", "Spawn.ChildExited", "NoServer", "somethingNew"} {
		if answered(dbus.Error{Name: "org.freedesktop.DBus.Error." + name}) {
			t.Errorf("%s is taken for an answer", name)
		}
	}
	for _, err := range []error{nil, context.DeadlineExceeded, errors.New("org.freedesktop.systemd1.NoSuchUnit"), dbus.ErrClosed, dbus.Error{}} {
		if answered(err) {
			t.Errorf("%v is taken for an answer", err)
		}
	}
	if !answered(fmt.Errorf("wrapped: %w", dbus.Error{Name: noSuchUnit})) {
		t.Error("NoSuchUnit isn't taken for an answer")
	}
}

// FuzzSignal feeds whole messages: no signal may end a job that it isn't about, nor break anything.
func FuzzSignal(f *testing.F) {
	const path = "/org/freedesktop/systemd1/job/1"
	for _, body := range [][]any{
		{uint32(1), dbus.ObjectPath(path), theUnit, "done"},
		{uint32(1), dbus.ObjectPath(path), theUnit, uint32(1)},
		{systemdName, "", ":1.1"},
		{},
	} {
		for _, name := range [][2]string{{managerFace, "JobRemoved"}, {"org.freedesktop.DBus", "NameOwnerChanged"}} {
			m := &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldInterface: dbus.MakeVariant(name[0]), dbus.FieldMember: dbus.MakeVariant(name[1]),
			}}
			if len(body) > 0 {
				m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
			}
			var buf bytes.Buffer
			if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
				f.Fatal(err)
			}
			f.Add(buf.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := dbus.DecodeMessage(bytes.NewReader(data))
		if err != nil || m.Type != dbus.TypeSignal {
			return
		}
		s := &dbus.Signal{Name: m.Headers[dbus.FieldInterface].Value().(string) + "." + m.Headers[dbus.FieldMember].Value().(string), Body: m.Body}
		j := &job{before: State{Name: theUnit}, path: path}
		if result := j.result(s); result != "" {
			if len(m.Body) != 4 || m.Body[1] != dbus.ObjectPath(path) || m.Body[3] != result || !j.concerns(s) && m.Body[2] == theUnit {
				t.Errorf("result %q of %v", result, m.Body)
			}
		}
		if newOwner(s) && (len(m.Body) != 3 || m.Body[0] != systemdName || m.Body[2] == "") {
			t.Errorf("new owner in %v", m.Body)
		}
		(&job{before: State{Name: theUnit}}).result(s) // no number is known yet
	})
}
