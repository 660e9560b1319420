// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// zone is a DNS of a few names.
type zone struct{ forward, reverse map[string][]string }

func (z zone) LookupHost(_ context.Context, name string) ([]string, error) {
	return find(z.forward, name)
}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return find(z.reverse, addr)
}

func find(m map[string][]string, key string) ([]string, error) {
	if found, ok := m[key]; ok {
		return found, nil
	}
	return nil, errors.New("no such host")
}

func TestDisagreements(t *testing.T) {
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")}
	good := zone{
		forward: map[string][]string{"mx.example.org": {"192.0.2.25", "2001:db8::25"}},
		reverse: map[string][]string{"192.0.2.25": {"MX.example.org."}, "2001:db8::25": {"mx.example.org."}},
	}
	for name, tt := range map[string]struct {
		z    zone
		want []string // parts of what is found
	}{
		"all agree":      {good, nil},
		"no name":        {zone{good.forward, map[string][]string{"192.0.2.25": {"mx.example.org."}}}, []string{"2001:db8::25 has no name"}},
		"another name":   {zone{good.forward, map[string][]string{"192.0.2.25": {"old.example.org."}, "2001:db8::25": {"mx.example.org."}}}, []string{"192.0.2.25 is called old.example.org."}},
		"no address":     {zone{nil, good.reverse}, []string{"has no address"}},
		"one address":    {zone{map[string][]string{"mx.example.org": {"192.0.2.25"}}, good.reverse}, []string{"does not lead to 2001:db8::25"}},
		"mapped address": {zone{map[string][]string{"mx.example.org": {"::ffff:192.0.2.25", "2001:db8::25"}}, good.reverse}, nil},
	} {
		got := disagreements(t.Context(), tt.z, "mx.example.org", vips)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], tt.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], tt.want[i])
			}
		}
	}
}
