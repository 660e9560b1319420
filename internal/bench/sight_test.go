// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSight(t *testing.T) {
	const log = "level=INFO msg=x\nocf-exit-reason:first\nocf-exit-reason: no greeting \nlevel=INFO msg=y\n\n"
	for _, tt := range []struct {
		code    int
		stderr  string
		verdict Verdict
		said    string
	}{
		{0, log, Missed, ""},
		{8, log, Missed, ""},
		{1, log, Seen, "no greeting"},
		{7, "", Seen, ""},
		{9, "one\ntwo\n", Seen, "two"},
		{190, log, Degraded, "no greeting"},
		{191, log, Degraded, "no greeting"},
		{124, log, Timeout, ""},
		{137, log, Timeout, ""},
	} {
		got := sight("m", tt.code, 1500*time.Microsecond, tt.stderr)
		want := Sight{Monitor: "m", Verdict: tt.verdict, Code: tt.code, Millis: 1.5, Said: tt.said}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("code %d (-want +got)\n%s", tt.code, diff)
		}
	}
}

func TestSheet(t *testing.T) {
	row := func(service, fault string) Row {
		return Row{Fault: fault, Service: service,
			Ours:   []Sight{sight("mailha 0", 0, 0, ""), sight("mailha 10", 190, time.Second, "ocf-exit-reason:it `ends`")},
			Theirs: []Sight{sight("peer", 124, 20*time.Second, "")}}
	}
	var b strings.Builder
	WriteSheet(&b, []Row{row("mta", "disk full"), row("mta", "port taken"), row("store", "disk full")})
	want := `
## mta

| fault | mailha 0 | mailha 10 | peer |
|---|:---:|:---:|:---:|
| disk full | no | **degraded** | **timeout** |
| port taken | no | **degraded** | **timeout** |

- disk full
  - mailha 10: exit code 190 after 1000 ms: ` + "`it 'ends'`" + `
  - peer: killed after 20000 ms
- port taken
`
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("-want +got\n%s", cmp.Diff(want, b.String()))
	}
	if strings.Count(b.String(), "\n## ") != 2 {
		t.Errorf("want two services:\n%s", b.String())
	}
	b.Reset()
	if WriteSheet(&b, nil); b.String() != "" {
		t.Errorf("of nothing: %q", b.String())
	}
}
