// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

const (
	frontPurge = `export DEBIAN_FRONTEND=noninteractive
		dpkg --purge --force-all postfix slapd dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-ldap dovecot-core >/dev/null 2>&1 || true
		rm -rf /usr/lib/postfix /usr/sbin/post* /usr/lib/dovecot /usr/sbin/dovecot /usr/bin/dove* /usr/sbin/slap* /usr/lib/systemd/system/mailha-* /etc/*-front
		systemctl daemon-reload; ! test -e /usr/sbin/postfix; ! test -e /usr/sbin/dovecot; ! test -e /usr/sbin/slapd`
	frontConfig  = "/etc/postfix-front /etc/dovecot-front /etc/ldap-front"
	frontDaemons = daemons + "," + storeDaemons + ",slapd"
	frontNotes   = "/run/mailha/p_front*.note"
)

// frontSuspend suspends all of its daemons.
var frontSuspend = signal("STOP", "ps -C "+frontDaemons+" -o pid=")

// furnishFront does without what is behind the front door.
func furnishFront(t testing.TB, n *lab.Node) {
	t.Helper()
	run(t, n, "postconf -c /etc/postfix-front -PX smtp/inet/smtpd_proxy_filter") // the MTA is not here
}

// What can happen to a front door, whose parts are stopped beside each other. See
// TestStop.
func TestStopInternet(t *testing.T) {
	t.Parallel()
	for _, tt := range []torture{
		{name: "nothing", r: internet()},
		{name: "client connected", r: internet(), session: true},
		{name: "configuration removed", r: internet(), session: true, script: "rm -r " + frontConfig},
		{name: "configuration and notes removed", r: internet(), script: "rm -r " + frontConfig + " /run/mailha"},
		{name: "packages purged", r: internet(), session: true, script: frontPurge},
		{name: "packages purged and notes removed", r: internet(), script: frontPurge + "; rm -r /run/mailha"},

		{name: "units masked", r: internet(), session: true, script: "systemctl mask --runtime '" + scenario.FrontUnit + "' '" + scenario.FrontMTAUnit + "' '" + scenario.FrontLDAPUnit + "'"},
		{name: "one unit failed", r: internet(), session: true, script: killMaster},
		{name: "all units failed", r: internet(), session: true, script: "kill -9 $(pidof dovecot slapd master)"},
		{name: "units stopped by somebody", r: internet(), script: "systemctl stop '" + scenario.FrontUnit + "' '" + scenario.FrontMTAUnit + "' '" + scenario.FrontLDAPUnit + "'"},

		{name: "suspended", r: internet(), session: true, script: frontSuspend, timeout: 8 * time.Second},
		{name: "one part suspended", r: internet(), script: suspendLDAP, timeout: 8 * time.Second},
		{name: "suspended, long drain", r: internet("drain_timeout", "1h"), session: true, script: frontSuspend, timeout: 8 * time.Second},
		{name: "hardly any time", r: internet(), session: true, timeout: time.Second},
		{name: "cannot be killed", r: internet(), host: freeze, timeout: 8 * time.Second, want: codes{generic}},

		{name: "notes removed", r: internet(), session: true, script: "rm -r /run/mailha"},
		{name: "notes of the parts removed", r: internet(), script: "rm /run/mailha/p_front?*:*.note || rm /run/mailha/*smtp*.note /run/mailha/*imap*.note /run/mailha/*ldap*.note"},
		{name: "notes damaged", r: internet(), session: true, script: "for f in " + frontNotes + "; do echo '{' >$f; done"},
		{name: "notes damaged and parameters bad", r: internet(), now: internet("ip", "nonsense"), script: "for f in " + frontNotes + "; do echo '{' >$f; done", want: codes{generic}, stays: true},
		{name: "parameters bad", r: internet(), session: true, now: internet("ip", "nonsense", "protocols", "gopher", "drain_timeout", "soon", "imap_unit", "no unit")},
		{name: "parameters gone", r: internet(), now: resource{"internet-agent", "p_front", nil}},
		{name: "parameters of another address", r: internet(), now: internet("ip", "10.77.0.54")},
		{name: "parameters of fewer protocols", r: internet(), now: internet("protocols", "smtp")},

		{name: "bus gone", r: internet(), session: true, script: busGone},
		{name: "bus gone, suspended", r: internet(), script: frontSuspend + "; " + busGone, timeout: 8 * time.Second},
		{name: "bus gone, configuration removed", r: internet(), script: "rm -r " + frontConfig + "; " + busGone},
		{name: "bus hangs", r: internet(), script: "kill -STOP $(ps -C dbus-daemon -o pid=)", timeout: 20 * time.Second},
		{name: "systemd hangs", r: internet(), host: hang, timeout: 6 * time.Second, mute: true},
		{name: "interface down", r: internet(), script: "ip link set eth0 down"},
		{name: "ruleset flushed", r: internet(), script: "nft flush ruleset"},
	} {
		tt.kind, tt.furnish, tt.local = withFront, furnishFront, true
		t.Run(tt.name, tt.run)
	}
}
