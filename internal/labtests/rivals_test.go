// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// rival is a host that has, or will have, an address of ours.
func rival(t *testing.T, p *place, addrs ...string) (h *lab.Host, mac string) {
	t.Helper()
	own := []netip.Addr{netip.MustParseAddr("10.77.0.200"), netip.MustParseAddr("fd77::200")}
	for _, a := range addrs {
		own = append(own, netip.MustParseAddr(a))
	}
	h, err := p.AddHost(t.Context(), "rival", own...)
	if err != nil {
		t.Fatal(err)
	}
	// What has just been plugged in answers no question about IPv6 yet.
	const tentative = "ip -6 addr show dev eth0 tentative"
	await(t, patience, "IPv6", func() bool {
		return onHost(t, h, strings.Fields(tentative)...) == "" && run(t, p.node, tentative) == ""
	})
	f := strings.Fields(onHost(t, h, "ip", "-o", "link", "show", "eth0"))
	for i := range f {
		if f[i] == "link/ether" {
			return h, f[i+1]
		}
	}
	t.Fatalf("no Ethernet address: %q", f)
	return nil, ""
}

func onHost(t *testing.T, h *lab.Host, argv ...string) string {
	t.Helper()
	out, err := h.Output(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An address that another host has is not taken, and nothing else is started.
func TestRivalBeforeStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		r     resource
		taken string
	}{
		{"mta, IPv4", mta(), vip4},
		{"mta, IPv6", mta(), vip6},
		{"vip, IPv4", vip(), vip4},
		{"vip, IPv6", vip(), vip6},
		{"service, IPv4", service("plain.service"), vip4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			_, mac := rival(t, p, tt.taken)
			// A rival that is slow to answer is heard in time.
			a := tt.r.set("probe_wait", "1s").must(t, p.node, "start", call{}, generic)
			if !strings.Contains(a.reason, mac) || !strings.Contains(a.reason, tt.taken) {
				t.Errorf("want %s and %s in the reason: %s", mac, tt.taken, a.reason)
			}
			bare(t, p.node)
			tt.r.must(t, p.node, "monitor", call{}, notRunning)
			tt.r.stop(t, p.node)
		})
	}
}

// One that comes while we hold the address is seen by the next monitor, whether
// it announced itself, or only answers, or was there but for a moment.
func TestRivalWhileRunning(t *testing.T) {
	t.Parallel()
	// Linux announces its addresses when it is told a MAC address, be it the same.
	const announce = `
		echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify
		echo 1 >/proc/sys/net/ipv6/conf/eth0/ndisc_notify
		ip link set eth0 address $(ip -o link show eth0 | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/')`
	for _, tt := range []struct {
		name  string
		r     resource
		addr  string
		claim string
	}{
		{"mta, IPv4, silent", mta(), vip4, "ip addr add " + vip4 + "/24 dev eth0"},
		{"mta, IPv4, announced", mta(), vip4, "ip addr add " + vip4 + "/24 dev eth0;" + announce},
		{"mta, IPv6, silent", mta(), vip6, "ip addr add " + vip6 + "/64 dev eth0 nodad"},
		{"mta, IPv6, announced", mta(), vip6, "ip addr add " + vip6 + "/64 dev eth0 nodad;" + announce},
		{"vip, IPv4, for a moment", vip(), vip4, "ip addr add " + vip4 + "/24 dev eth0;" + announce + "; ip addr del " + vip4 + "/24 dev eth0"},
		{"vip, IPv6, for a moment", vip(), vip6, "ip addr add " + vip6 + "/64 dev eth0 nodad;" + announce + "; ip addr del " + vip6 + "/64 dev eth0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			h, mac := rival(t, p)
			tt.r.start(t, p.node)
			tt.r.monitor(t, p.node, 0)
			onHost(t, h, "sh", "-c", "set -e; "+tt.claim)
			var a answer
			// A rival that is slow to answer is seen by a later one.
			await(t, 10*time.Second, "a monitor to fail", func() bool {
				a = tt.r.must(t, p.node, "monitor", recurring, generic, success)
				return a.code == generic
			})
			if !strings.Contains(a.reason, mac) || !strings.Contains(a.reason, tt.addr) {
				t.Errorf("want %s and %s in the reason: %s", mac, tt.addr, a.reason)
			}
			tt.r.stop(t, p.node)
			bare(t, p.node)
		})
	}
}
