// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// csn is one of a server, so many microseconds after a time.
func csn(server string, after time.Duration) string {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(after).Format(csnTime) + "#000000#" + server + "#000000"
}

func stateOf(values ...string) state {
	c, err := parseCSNs(values)
	if err != nil {
		panic(err)
	}
	return state{"dc=a": c}
}

func TestLacks(t *testing.T) {
	one, two := csn("001", time.Second), csn("001", time.Second+time.Microsecond)
	other := csn("002", time.Hour)
	for _, tt := range []struct {
		name    string
		s, than state
		want    bool
	}{
		{"the same", stateOf(one), stateOf(one), false},
		{"an older one", stateOf(one), stateOf(two), true},
		{"a newer one", stateOf(two), stateOf(one), false},
		{"of another server", stateOf(two), stateOf(two, other), true},
		{"more than the other", stateOf(two, other), stateOf(one), false},
		{"nothing", stateOf(), stateOf(one), true},
		{"nothing of nothing", stateOf(), stateOf(), false},
		{"another database", state{}, stateOf(one), true},
		{"the other has none", stateOf(one), state{}, false},
	} {
		if got := tt.s.lacks(tt.than); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
		all := tt.s.join(tt.than)
		if all.lacks(tt.s) || all.lacks(tt.than) {
			t.Errorf("%s: both together lack something", tt.name)
		}
		if text := tt.s.explain(tt.than); (text != "") != tt.want {
			t.Errorf("%s: explained as %q", tt.name, text)
		}
	}
	if text := stateOf(one).explain(stateOf(two, other)); text !=
		"of server 1 in dc=a it has changes up to 2026-01-01 00:00:01.000 instead of 2026-01-01 00:00:01.000, of server 2 in dc=a it has nothing instead of 2026-01-01 01:00:00.000" {
		t.Errorf("explained as %q", text)
	}
}

func TestParseCSNs(t *testing.T) {
	got, err := parseCSNs([]string{csn("001", 1), csn("0a1", 0), csn("001", time.Hour)})
	if diff := cmp.Diff(csns{"001": csn("001", time.Hour), "0a1": csn("0a1", 0)}, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got)\n%s", err, diff)
	}
	for _, bad := range []string{"", "x", "20260101000000Z#000000#00#000000", strings.Replace(csn("001", 0), "2026", "nnnn", 1), strings.ReplaceAll(csn("001", 0), "#", "-")} {
		if got, err := parseCSNs([]string{bad}); err == nil {
			t.Errorf("%q was taken as %v", bad, got)
		}
	}
}

func FuzzCSN(f *testing.F) {
	f.Add(csn("001", 0), csn("0ff", time.Hour))
	f.Fuzz(func(t *testing.T, a, b string) {
		c, err := parseCSNs([]string{a, b})
		if err != nil {
			return
		}
		s := state{"": c}
		if s.lacks(s) || s.explain(s) != "" || !s.lacks(state{"": c, "x": c}) {
			t.Errorf("%q, %q", a, b)
		}
		_ = state{}.explain(s)
	})
}

func TestSilent(t *testing.T) {
	own := stateOf(csn("001", 0))
	if !(state{}).silent(own) || !stateOf().silent(own) || own.silent(own) || (state{}).silent(stateOf()) {
		t.Error("who shows nothing of what we have is silent, and nobody else")
	}
}
