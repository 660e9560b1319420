// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		text string
		want URL
		back string // empty: the same as text
	}{
		{"ldap:///", URL{Scheme: "ldap", Port: 389}, "ldap://"},
		{"ldaps:///", URL{Scheme: "ldaps", Port: 636}, "ldaps://"},
		{"ldap://10.0.0.1", URL{Scheme: "ldap", Host: "10.0.0.1", Port: 389}, ""},
		{"LDAP://ldap.example.org:3890/dc=example", URL{Scheme: "ldap", Host: "ldap.example.org", Port: 3890}, "ldap://ldap.example.org:3890"},
		{"ldaps://[fd77::1]:6360", URL{Scheme: "ldaps", Host: "fd77::1", Port: 6360}, ""},
		{"ldap://[fd77::1]", URL{Scheme: "ldap", Host: "fd77::1", Port: 389}, ""},
		{"10.0.0.1", URL{Scheme: "ldap", Host: "10.0.0.1", Port: 389}, "ldap://10.0.0.1"},
		{"fd77::1", URL{Scheme: "ldap", Host: "fd77::1", Port: 389}, "ldap://[fd77::1]"},
		{"node2:3890", URL{Scheme: "ldap", Host: "node2", Port: 3890}, "ldap://node2:3890"},
		{"ldapi:///", URL{Scheme: "ldapi", Path: DefaultSocket}, "ldapi://%2Frun%2Fslapd%2Fldapi"},
		{"ldapi://%2Frun%2Fa b", URL{Scheme: "ldapi", Path: "/run/a b"}, "ldapi://%2Frun%2Fa%20b"},
	} {
		got, err := ParseURL(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.text, diff)
		}
		if tt.back == "" {
			tt.back = tt.text
		}
		if got.String() != tt.back {
			t.Errorf("%s reads back as %s, want %s", tt.text, got, tt.back)
		}
	}
	for _, bad := range []string{"http://x", "ldap://x:0", "ldap://x:70000", "ldap://[10.0.0.1]", "ldap://[fd77::1", "ldap://a b", "ldap://fd77::1:389:", "ldapi://run/x", "ldapi://%zz", "x\ny"} {
		if u, err := ParseURL(bad); err == nil {
			t.Errorf("%q was taken as %+v", bad, u)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("ldaps://[fd77::1]:636/x")
	f.Add("ldapi://%2Frun%2Fslapd%2Fldapi")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		again, err := ParseURL(u.String())
		if err != nil || again != u {
			t.Errorf("%q is %+v, which reads back as %+v, %v", text, u, again, err)
		}
	})
}
