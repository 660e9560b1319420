// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const (
	purgeLDAP   = `export DEBIAN_FRONTEND=noninteractive; dpkg --purge --force-all slapd >/dev/null 2>&1 || true; rm -rf /usr/sbin/slap* /usr/lib/systemd/system/mailha-* ` + ldapConfig + `*; systemctl daemon-reload; ! test -e /usr/sbin/slapd`
	suspendLDAP = `kill -STOP $(pidof slapd)`
)

// furnishOne gives a node a replica that has no others.
func furnishOne(t testing.TB, n *lab.Node) {
	t.Helper()
	furnishReplica(t, n, 1, 1)
}

// A directory is stopped as anything else is, whatever role it has.
func TestStopOfDirectory(t *testing.T) {
	t.Parallel()
	for _, tt := range []torture{
		{name: "nothing", r: directory()},
		{name: "promoted", r: directory(), promote: true},
		{name: "local, promoted", r: directory(), local: true, promote: true},
		{name: "configuration removed", r: directory(), script: "rm -r " + ldapConfig + "*"},
		{name: "configuration removed, promoted", r: directory(), promote: true, script: "rm -r " + ldapConfig + "*"},
		{name: "configuration and note removed, promoted", r: directory(), promote: true, script: "rm -r " + ldapConfig + "* /run/mailha"},
		{name: "package purged, promoted", r: directory(), promote: true, script: purgeLDAP},
		{name: "package purged and note removed", r: directory(), script: purgeLDAP + "; rm -r /run/mailha"},
		{name: "file system lazily unmounted, promoted", r: directory(), promote: true, script: "umount -l " + mailDir},
		{name: "file system lazily unmounted, note removed", r: directory(), script: "umount -l " + mailDir + "; rm -r /run/mailha"},
		{name: "file system shut down, promoted", r: directory(), promote: true, script: forceShut},
		{name: "data removed, promoted", r: directory(), local: true, promote: true, script: "rm -r " + ldapData},
		{name: "socket removed, promoted", r: directory(), promote: true, script: "rm /run/mailha-slapd/*"},
		{name: "unit masked, promoted", r: directory(), promote: true, script: "systemctl mask --runtime '" + ldapUnit + "'"},
		{name: "unit failed, promoted", r: directory(), promote: true, script: "kill -9 $(pidof slapd)"},
		{name: "unit stopped by somebody, promoted", r: directory(), promote: true, script: "systemctl stop '" + ldapUnit + "'"},
		{name: "started by somebody", r: directory(), script: "systemctl stop '" + ldapUnit + "'; rm -r /run/mailha; setpriv --reuid openldap --regid openldap --clear-groups --ambient-caps +net_bind_service --inh-caps +net_bind_service /usr/sbin/slapd -F " + ldapConfig + " -h 'ldap:/// " + ldapSocket + "'"},
		{name: "suspended", r: directory(), script: suspendLDAP, timeout: 8 * time.Second},
		{name: "suspended, promoted", r: directory(), promote: true, script: suspendLDAP, timeout: 8 * time.Second},
		{name: "suspended, promoted, long drain", r: directory("drain_timeout", "1h"), promote: true, script: suspendLDAP, timeout: 8 * time.Second},
		{name: "hardly any time, promoted", r: directory(), promote: true, timeout: time.Second},
		{name: "note removed, promoted", r: directory(), promote: true, script: "rm -r /run/mailha"},
		{name: "note damaged, promoted", r: directory(), promote: true, script: "echo '{' >/run/mailha/p_dir.note"},
		{name: "note damaged and parameters bad, promoted", r: directory(), now: directory("ip", "nonsense"), promote: true, script: "echo '{' >/run/mailha/p_dir.note", want: codes{generic}, stays: true},
		{name: "parameters bad, promoted", r: directory(), now: directory("ip", "nonsense", "drain_timeout", "soon", "peers", "http://x", "max_lag", "-1"), promote: true},
		{name: "parameters gone, promoted", r: directory(), now: resource{"directory", "p_dir", nil}, promote: true},
		{name: "parameters of another address, promoted", r: directory(), now: directory("ip", "10.77.0.51"), promote: true},
		{name: "bus gone, promoted", r: directory(), promote: true, script: busGone},
		{name: "bus gone, suspended, promoted", r: directory(), promote: true, script: suspendLDAP + "; " + busGone, timeout: 8 * time.Second},
		{name: "systemd hangs, promoted", r: directory(), promote: true, host: hang, timeout: 6 * time.Second, mute: true},
		{name: "interface down, promoted", r: directory(), promote: true, script: "ip link set eth0 down"},
		{name: "ruleset flushed, promoted", r: directory(), promote: true, script: "nft flush ruleset"},
	} {
		tt.furnish = furnishOne
		t.Run(tt.name, tt.run)
	}
}
