// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/scenario"
)

// sharing has a resource stand on the addresses of another one.
func sharing(r resource, more ...string) resource {
	return r.set("ip", "", "shared_ip", r.params["ip"]).set(more...)
}

// What can happen to services whose addresses are another resource's. See TestStop.
func TestStopOnSharedAddress(t *testing.T) {
	t.Parallel()
	front := vip("ip", scenario.FrontAddr4+" "+scenario.FrontAddr6)
	gone := func(r resource) resource { r.params = nil; return r }
	for _, tt := range []torture{
		{name: "mta", r: sharing(mta()), session: true},
		{name: "mta, notes removed", r: sharing(mta()), session: true, script: "rm -r /run/mailha"},
		{name: "mta, configuration and notes removed", r: sharing(mta()), script: "rm -r " + configDir + " /run/mailha"},
		{name: "mta, suspended", r: sharing(mta()), session: true, script: suspend, timeout: 8 * time.Second},
		{name: "mta, parameters gone", r: sharing(mta()), now: gone(mta())},
		{name: "mta, address gone", r: sharing(mta()), session: true, script: "ip addr del " + vip4 + "/32 dev eth0"},

		{name: "store", r: sharing(store()), kind: withStore, furnish: furnishStore, session: true},
		{name: "store, notes removed", r: sharing(store()), kind: withStore, furnish: furnishStore, session: true, script: "rm -r /run/mailha"},
		{name: "store, suspended", r: sharing(store()), kind: withStore, furnish: furnishStore, session: true, script: storeSuspend, timeout: 8 * time.Second},

		{name: "directory", r: sharing(directory()), furnish: furnishOne},
		{name: "directory, promoted", r: sharing(directory()), furnish: furnishOne, promote: true},
		{name: "directory, promoted, notes removed", r: sharing(directory()), furnish: furnishOne, promote: true, script: "rm -r /run/mailha"},
		{name: "directory, promoted, note damaged", r: sharing(directory()), furnish: furnishOne, promote: true, script: "echo '{' >/run/mailha/p_dir.note"},
		{name: "directory, promoted, configuration removed", r: sharing(directory()), furnish: furnishOne, promote: true, script: "rm -r " + ldapConfig + "*"},
		{name: "directory, promoted, configuration and notes removed", r: sharing(directory()), furnish: furnishOne, promote: true, script: "rm -r " + ldapConfig + "* /run/mailha"},
		{name: "directory, promoted, package purged", r: sharing(directory()), furnish: furnishOne, promote: true, script: purgeLDAP},
		{name: "directory, promoted, file system lazily unmounted", r: sharing(directory()), furnish: furnishOne, promote: true, script: "umount -l " + mailDir},
		{name: "directory, promoted, unit failed", r: sharing(directory()), furnish: furnishOne, promote: true, script: "kill -9 $(pidof slapd)"},
		{name: "directory, promoted, suspended", r: sharing(directory()), furnish: furnishOne, promote: true, script: suspendLDAP, timeout: 8 * time.Second},
		{name: "directory, promoted, parameters gone", r: sharing(directory()), now: gone(directory()), furnish: furnishOne, promote: true},
		{name: "directory, promoted, parameters bad", r: sharing(directory()), now: sharing(directory(), "shared_ip", "nonsense"), furnish: furnishOne, promote: true},
		{name: "directory, promoted, bus gone", r: sharing(directory()), furnish: furnishOne, promote: true, script: busGone},
		{name: "directory, promoted, address gone", r: sharing(directory()), furnish: furnishOne, promote: true, script: "ip addr del " + vip4 + "/32 dev eth0"},
		{name: "directory, promoted, ruleset flushed", r: sharing(directory()), furnish: furnishOne, promote: true, script: "nft flush ruleset"},

		{name: "front door", r: sharing(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true, session: true},
		{name: "front door, notes removed", r: sharing(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true, session: true, script: "rm -r /run/mailha"},
		{name: "front door, notes damaged", r: sharing(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true, script: "for f in " + frontNotes + "; do echo '{' >$f; done"},
		{name: "front door, suspended", r: sharing(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true, session: true, script: frontSuspend, timeout: 8 * time.Second},
		{name: "front door, all units failed", r: sharing(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true, session: true, script: "kill -9 $(pidof dovecot slapd master)"},
		{name: "front door, parameters gone", r: sharing(internet()), now: gone(internet()), beneath: front, kind: withFront, furnish: furnishFront, local: true},
		{name: "front door, has addresses of its own meanwhile", r: sharing(internet()), now: internet("ip", "10.77.0.54"), beneath: front, kind: withFront, furnish: furnishFront, local: true},
	} {
		if tt.beneath.agent == "" {
			tt.beneath = vip("wait_ports", "25 143 389")
		}
		t.Run(tt.name, tt.run)
	}
}
