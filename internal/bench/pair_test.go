// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What shares one service never runs twice, and both look at the same.
func TestRound(t *testing.T) {
	short := func(p pair) string {
		var words []string
		for _, st := range p.round() {
			word := "their " + st.action
			if st.ours {
				word = "our " + st.action
			}
			if st.aside {
				word += " aside"
			}
			if len(words) == 0 || !strings.HasSuffix(word, "monitor") || !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
		return strings.Join(words, ", ")
	}
	for _, tt := range []struct {
		p    pair
		want string
	}{
		{pair{}, "our start, our monitor, their monitor, our stop, their start, their stop"},
		{pair{apart: true}, "our start, their start, our monitor, their monitor, our stop, their stop"},
		{pair{roles: true}, "our start, our promote aside, our monitor, their monitor, our demote aside, our stop, their start, their stop"},
	} {
		if diff := cmp.Diff(tt.want, short(tt.p)); diff != "" {
			t.Errorf("%+v (-want +got)\n%s", tt.p, diff)
		}
	}
}

func TestAgentEnviron(t *testing.T) {
	a := agent{"mailha/mta", map[string]string{"config_dir": "/etc/x"}}
	env := a.with("ip", "192.0.2.1").environ(20*time.Second, 10*time.Second, 10)
	for _, want := range []string{
		"OCF_RESOURCE_PROVIDER=mailha", "OCF_RESOURCE_TYPE=mta", "OCF_CHECK_LEVEL=10",
		"OCF_RESKEY_CRM_meta_timeout=20000", "OCF_RESKEY_CRM_meta_interval=10000",
		"OCF_RESKEY_config_dir=/etc/x", "OCF_RESKEY_ip=192.0.2.1",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("lacks %s: %q", want, env)
		}
	}
	if slices.ContainsFunc(a.environ(0, 0, 0), func(v string) bool { return strings.HasPrefix(v, "OCF_CHECK_LEVEL") || strings.Contains(v, "_ip=") }) {
		t.Error("a parameter or depth that nobody gave")
	}
}

func TestAgentShipped(t *testing.T) {
	for name, want := range map[string]bool{"mailha/vip": true, "mailha/mta": true, "mailha/none-such": false, "heartbeat/slapd": true} {
		if got := (agent{Type: name}).shipped(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Every fault can be planted and mended, and none has the name of another.
func TestSubjects(t *testing.T) {
	for _, s := range subjects() {
		var names []string
		for _, f := range s.faults {
			if f.name == "" || f.plant == "" || f.mend == "" || slices.Contains(names, f.name) {
				t.Errorf("%s: %+v", s.service, f)
			}
			names = append(names, f.name)
		}
		if ours, theirs := s.watches(); len(names) == 0 || len(ours) == 0 || len(theirs) == 0 {
			t.Errorf("%s has nothing to see or nobody to see it", s.service)
		}
	}
}
