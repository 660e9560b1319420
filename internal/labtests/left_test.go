// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
)

// left lists what there is on the node of any resource: processes, sockets,
// addresses, packet filter, notes (but for the status, which is for people, and
// stays). It asks the system's own tools. On a node on
// which nothing runs it finds nothing.
func left(t testing.TB, n *lab.Node) []string {
	t.Helper()
	const script = `
ps -eo stat=,pid=,args= | awk '$1 !~ /^Z/ {print "process", $0}'
ss -Htln | awk '{print "listener", $0}'
ss -Htn state connected | awk '$1 != "TIME-WAIT" {print "connection", $1, $4, $5}'
ip -o addr show | awk '{print "address", $4, "on", $2}'
nft list tables | sed 's/^/nft /'
ls /run/mailha 2>/dev/null | sed '/^status$/d; s/^/note /'
true`
	var found []string
	for line := range strings.Lines(run(t, n, script)) {
		if line = strings.TrimSpace(line); !ordinary(n, line) {
			found = append(found, line)
		}
	}
	return found
}

// ordinary says whether a line of left is there on a bare node, too.
func ordinary(n *lab.Node, line string) bool {
	f := strings.Fields(line)
	if len(f) < 2 {
		return true
	}
	switch f[0] {
	case "process":
		for _, known := range []string{"systemd", "dbus-daemon", "agetty", "(sd-", "ps -eo stat=", "awk $1", "sh -c set -eu", "[", "nsenter"} {
			if program := strings.Join(f[3:], " "); strings.HasPrefix(program[strings.LastIndexByte(f[3], '/')+1:], known) {
				return true
			}
		}
	case "connection": // one that is closed on this side is nobody's any more
		local, err := netip.ParseAddrPort(f[2])
		closed := strings.HasPrefix(f[1], "FIN-WAIT") || f[1] == "LAST-ACK"
		return err == nil && closed && (local.Addr() == n.Addr4() || local.Addr() == n.Addr6())
	case "address":
		addr, err := netip.ParsePrefix(f[1])
		return err == nil && (addr.Addr() == n.Addr4() || addr.Addr() == n.Addr6() || addr.Addr().IsLoopback() || addr.Addr().IsLinkLocalUnicast())
	}
	return false
}

// bare fails the test if anything is left on the node.
func bare(t testing.TB, n *lab.Node) {
	t.Helper()
	if found := left(t, n); len(found) > 0 {
		t.Errorf("left on %s:\n%s", n.Name(), strings.Join(found, "\n"))
	}
}

// holding says whether one of the lines of left begins with what.
func holding(found []string, what string) bool {
	for _, line := range found {
		if strings.HasPrefix(line, what) {
			return true
		}
	}
	return false
}

// What the other tests rely on: everything that a resource may leave is seen.
func TestLeft(t *testing.T) {
	n := newPlace(t, lab.Config{}).node
	bare(t, n)
	run(t, n, `
		systemd-run --quiet --unit=stray /usr/local/bin/listener
		ip addr add `+vip4+`/32 dev eth0
		ip addr add `+vip6+`/128 dev lo
		nft add table arp mailha_claims_x
		mkdir -p /run/mailha; touch /run/mailha/x.note
		until ss -Htln | grep -q :7001; do sleep 0.02; done`)
	found := left(t, n)
	for _, want := range []string{"process ", "listener ", "address " + vip4, "address " + vip6, "nft ", "note x.note"} {
		if !holding(found, want) {
			t.Errorf("not seen: %s, among\n%s", want, strings.Join(found, "\n"))
		}
	}
}
