// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents"
)

func TestWriteStatuses(t *testing.T) {
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	err := writeStatuses(&out, []agents.Status{
		{Resource: "p_mta", Agent: "mta", Description: "mail for example.org", Phase: agents.Draining, Since: now.Add(-3 * time.Second),
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")},
			Sessions:  12, Work: 3, Deadline: now.Add(17 * time.Second)},
		{Resource: "p_store", Agent: "store", Phase: agents.Failed, Since: now.Add(-2 * time.Hour), Detail: "the mail file system is not mounted"},
		{Resource: "p_x", Agent: "service", Phase: agents.Started, Since: now.Add(-72 * time.Hour)},
	}, now)
	want := `RESOURCE  AGENT    PHASE     SINCE  ADDRESSES                DESCRIPTION
p_mta     mta      draining  3s     192.0.2.25,2001:db8::25  mail for example.org
p_store   store    failed    2h     -                        
p_x       service  started   3d     -                        
p_mta: 12 sessions and 3 pieces of work left, the rest is cut in 17s
p_store: the mail file system is not mounted
`
	if diff := cmp.Diff(want, out.String()); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestStatusCommand(t *testing.T) {
	p := Program{StateDir: t.TempDir()}
	var out bytes.Buffer
	if err := p.status(nil, &out); err != nil || !strings.HasPrefix(out.String(), "no resource") {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	var list []agents.Status
	if err := p.status([]string{"--output", "json"}, &out); err != nil || json.Unmarshal(out.Bytes(), &list) != nil || list == nil {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, args := range [][]string{{"--output"}, {"--output", "xml"}, {"p_mta", "x"}, {"-x"}} {
		if err := p.status(args, &out); err != errStatusUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
}
