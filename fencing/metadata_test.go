// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProblems(t *testing.T) {
	with := func(from, to string) string { return strings.Replace(goodMetadata, from, to, 1) }
	fine := map[string]string{"ip": "192.0.2.1"}
	for _, tt := range []struct {
		name, meta string
		params     map[string]string
		secrets    map[string]string
		action     Action
		want       []string
	}{
		{"fine", goodMetadata, map[string]string{"ip": "x", "ipport": "623", "power_wait": "0.5", "lanplus": "true", "auth": "md5"}, map[string]string{"password": "/x"}, Reboot, nil},
		{"old names", goodMetadata, map[string]string{"ipaddr": "x"}, map[string]string{"passwd": "/x"}, Reboot, nil},
		{"unknown", goodMetadata, map[string]string{"ip": "x", "lanpuls": "1"}, map[string]string{"pasword": "/x"}, Reboot,
			[]string{`fence_x has no parameter "lanpuls"; did you mean "lanplus"?`, `fence_x has no parameter "pasword"; did you mean "password"?`}},
		{"missing", goodMetadata, nil, nil, Reboot, []string{`fence_x needs parameter "ip"`}},
		{"bad values", goodMetadata, map[string]string{"ip": "x", "ipport": "six", "power_wait": "5s", "lanplus": "maybe", "auth": "md4"}, nil, Reboot, []string{
			`parameter auth = "md4" is not known to the agent; did you mean "md5"?`, `parameter ipport = "six" is no whole number`,
			`parameter lanplus = "maybe" is neither true nor false`, `parameter power_wait = "5s" is no number of seconds; write the number alone`,
		}},
		{"only reboots", with(`<action name="off"/>`, ""), fine, nil, Reboot, []string{"fence_x cannot switch anything off; take another agent: what is only restarted cannot be proved to be off"}},
		{"no status", with(`<action name="status"/>`, ""), fine, nil, Off, []string{"fence_x cannot tell whether anything is off; take another agent: without the status nothing proves that a node is off"}},
		{"fabric", with(`<action name="reboot"/>`, ""), fine, nil, Reboot, []string{`fence_x cannot reboot: it cuts a node off from something, and does not switch it off; write action = "off"`}},
		{"fabric, off", with(`<action name="reboot"/>`, ""), fine, nil, Off, nil},
		{"no on", with(`<action name="on" automatic="0"/>`, ""), fine, nil, Reboot, []string{`fence_x cannot switch on again; write action = "off"`}},
		{"on the target", with(`<action name="off"/>`, `<action name="off" on_target="1"/>`), fine, nil, Off, []string{"fence_x switches off from within the lost node only; take another agent"}},
		{"leaves on", with(`automatic="0"`, `automatic="1"`), fine, nil, Off, []string{"fence_x shuts a node out of something, and leaves it on; write leaves_on = true, or mailhad waits for its silence"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMetadata([]byte(tt.meta))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range m.Problems(Device{Agent: "fence_x", Action: tt.action, Parameters: tt.params, Secrets: tt.secrets}) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBadMetadata(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no XML": "usage: fence_x", "another document": "<html/>", "no actions": "<resource-agent/>",
		"cut short": goodMetadata[:len(goodMetadata)/2], "long": goodMetadata + strings.Repeat(" ", maxOut),
		"an entity":   `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/shadow">]><resource-agent name="&x;"><actions><action name="off"/></actions></resource-agent>`,
		"many":        strings.Replace(goodMetadata, "<parameters>", "<parameters>"+strings.Repeat(`<parameter name="x"/>`, 500), 1),
		"a long name": strings.Replace(goodMetadata, "lanplus", strings.Repeat("x", 101), 1),
		"a bad name":  strings.Replace(goodMetadata, `"lanplus"`, `"lan&#10;plus"`, 1),
	} {
		if m, err := ParseMetadata([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
	m, err := ParseMetadata([]byte("Warning: old library\n" + goodMetadata))
	if err != nil || m.Name != "fence_x" || m.Unfences() {
		t.Errorf("with a warning first: %+v, %v", m, err)
	}
}

func TestDescribe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meta")
	if err := os.WriteFile(file, []byte(goodMetadata), 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err := Describe(t.Context(), script(t, `grep -qx action=metadata && cat `+file).Agent); err != nil || len(m.Params) != 11 {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := Describe(t.Context(), "fence_there_is_none"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("none: %v", err)
	}
	if _, err := Describe(t.Context(), script(t, `echo "error: no module" >&2; exit 1`).Agent); err == nil || !strings.Contains(err.Error(), "no metadata: error: no module (exit code 1)") {
		t.Errorf("fails: %v", err)
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(goodMetadata))
	f.Add([]byte(`<resource-agent><parameters><parameter name="a" required="yes"/></parameters><actions><action name="off"/></actions></resource-agent>`))
	f.Add([]byte(`<?xml version="1.0" encoding="latin1"?><resource-agent/>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMetadata(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		d := Device{Agent: "fence_x", Action: Reboot, Parameters: map[string]string{"ip": "x", "auth": "y"}, Secrets: map[string]string{"password": "/x"}}
		for _, p := range m.Problems(d) {
			if p.What == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
