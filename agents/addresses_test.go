// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/mailha/mailha/vip"
)

// What could not be started with is refused when it is read: later a stop would trip over it.
func TestAddressesTakeWhatCanBeUsed(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		ok          bool
	}{
		{"probe_wait", "2s", true},
		{"probe_wait", "3s", false},
		{"probe_interval", "5", false},
		{"probe_interval", "0", true},
		{"ip", listOf(vip.MaxAddrs), true},
		{"ip", listOf(vip.MaxAddrs + 1), false},
		{"nic", "eth0", true},
		{"nic", "fifteen-bytes-x", true},
		{"nic", "sixteen-bytes-xx", false},
		{"nic", "a\x01b", false},
	} {
		a := NewAddresses()
		if err := a.Params(false).Parse(map[string]string{tt.name: tt.value}); (err == nil) != tt.ok {
			t.Errorf("%s=%q: %v", tt.name, tt.value, err)
		}
	}
}

func listOf(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("192.0.2.%d", i+1))
	}
	return strings.Join(all, " ")
}

// A prefix length that does not fit keeps an address from being started, not from being stopped.
func TestAddressesCanBeStopped(t *testing.T) {
	a := NewAddresses()
	if err := a.Params(false).Parse(map[string]string{"ip": "10.77.0.255", "cidr_netmask": "24"}); err != nil {
		t.Fatal(err)
	}
	if a.Check() == nil {
		t.Error("a broadcast address is well")
	}
	for _, earlier := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.77.0.9/32")}} {
		if set, err := a.Set(Env{Instance: "p"}, earlier); err != nil || set == nil {
			t.Errorf("with %v from before: %v", earlier, err)
		}
	}
}
