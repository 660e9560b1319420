// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"slices"
	"testing"
)

func TestProtocols(t *testing.T) {
	for _, tt := range []struct {
		text, back string
		ports      []uint16
	}{
		{"", "", nil},
		{"smtp submission imap", "smtp submission imap", []uint16{25, 587, 143}},
		{"smtp,submissions  ldaps", "smtp submissions ldaps", []uint16{25, 465, 636}},
		{"imap:1143/starttls imap:143", "imap:1143/starttls imap", []uint16{1143, 143}},
		{"ldap/starttls", "ldap/starttls", []uint16{389}},
		{"imaps:993/tls smtp/starttls", "imaps smtp/starttls", []uint16{993, 25}},
	} {
		var v protocols
		if err := v.Set(tt.text); err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if v.String() != tt.back || !slices.Equal(v.ports(), tt.ports) {
			t.Errorf("%q: %q, ports %v", tt.text, v.String(), v.ports())
		}
		var again protocols
		if err := again.Set(v.String()); err != nil || !slices.Equal(v, again) {
			t.Errorf("%q read back: %v, %v", v.String(), again, err)
		}
	}
	for _, text := range []string{"http", "smtp:0", "smtp:65536", "smtp:", "smtp/", "smtp/ssl", "imap imap", "smtp submission:25", ":25", "SMTP"} {
		v := protocols{{name: "kept"}}
		if err := v.Set(text); err == nil || v[0].name != "kept" {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
}

func FuzzProtocols(f *testing.F) {
	f.Add("smtp submission:10587/starttls, imaps")
	f.Fuzz(func(t *testing.T, s string) {
		var v, again protocols
		if v.Set(s) != nil {
			return
		}
		if err := again.Set(v.String()); err != nil || !slices.Equal(v, again) {
			t.Errorf("%q gave %q, which gave %v, %v", s, v.String(), again, err)
		}
	})
}
