// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"strings"
	"testing"
)

func TestResult(t *testing.T) {
	r := Samples{Name: "x", Unit: "ms", Ours: []float64{9, 1, 5}, Theirs: []float64{40, 10, 20, 30}}.Result()
	if r.Ours != 5 || r.Theirs != 25 || r.Runs != 3 || math.Abs(r.Ratio-0.2) > 1e-9 {
		t.Errorf("got %+v", r)
	}
	if r := (Samples{}).Result(); r.Ours != 0 || r.Ratio != 0 || r.Runs != 0 {
		t.Errorf("of nothing: %+v", r)
	}
}

func TestMedianLeavesValuesAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	if m := median(values); m != 2 || values[0] != 3 {
		t.Errorf("median %v of %v", m, values)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	WriteTable(&b, []Result{{Name: "vip monitor, wall time", Unit: "ms", Ours: 4.25, Theirs: 53.4, Peer: "ocf:heartbeat:IPaddr2", Ratio: 0.08, Runs: 10}, {Ours: 1234.5}})
	if want := "| vip monitor, wall time | ms | 4.2 | ocf:heartbeat:IPaddr2 | 53.4 | 0.08 | 10 |"; !strings.Contains(b.String(), want) {
		t.Errorf("lacks %q:\n%s", want, b.String())
	}
	if !strings.Contains(b.String(), "| 1234 |") {
		t.Errorf("large figures keep decimals:\n%s", b.String())
	}
}

func TestRenewed(t *testing.T) {
	list := []Result{{Part: "a", Name: "1"}, {Part: "b", Name: "2"}, {Name: "from before there were parts"}}
	got := Renewed(list, Results("a", []Samples{{Name: "3"}}), "a")
	names := ""
	for _, r := range got {
		names += r.Part + r.Name + " "
	}
	if want := "b2 from before there were parts a3 "; names != want {
		t.Errorf("got %q, want %q", names, want)
	}
	if list[0].Name != "1" || len(list) != 3 {
		t.Errorf("the list was changed: %+v", list)
	}
}
