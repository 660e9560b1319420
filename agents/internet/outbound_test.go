// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/mta"
)

func TestLeavesBy(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")
	good := mta.Outbound{Bound: []netip.Addr{four, six}, Enforced: true, IPv4: true, IPv6: true}
	both := []netip.Addr{four, six}
	for name, tt := range map[string]struct {
		change func(*mta.Outbound)
		vips   []netip.Addr
		want   string // part of the error; empty: none
	}{
		"bound and enforced":    {func(*mta.Outbound) {}, both, ""},
		"one family only":       {func(o *mta.Outbound) { o.IPv6, o.Bound = false, o.Bound[:1] }, both[:1], ""},
		"not enforced":          {func(o *mta.Outbound) { o.Enforced = false }, both, "smtp_bind_address_enforce"},
		"not bound":             {func(o *mta.Outbound) { o.Bound = nil }, both, "set smtp_bind_address = 192.0.2.25"},
		"not bound in IPv6":     {func(o *mta.Outbound) { o.Bound = o.Bound[:1] }, both, "set smtp_bind_address6 = 2001:db8::25"},
		"bound to the node":     {func(o *mta.Outbound) { o.Bound = []netip.Addr{netip.MustParseAddr("192.0.2.1"), six} }, both, "192.0.2.1 is not an address"},
		"IPv6 without a VIP":    {func(*mta.Outbound) {}, both[:1], "inet_protocols"},
		"changed for a service": {func(o *mta.Outbound) { o.Overrides = []string{"relay/unix/smtp_bind_address=192.0.2.1"} }, both, "relay/unix"},
	} {
		o := good
		o.Bound = append([]netip.Addr(nil), good.Bound...)
		tt.change(&o)
		err := leavesBy(o, tt.vips)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !errors.Is(err, agents.ErrNode) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an ErrNode with %q", name, err, tt.want)
		}
	}
}
