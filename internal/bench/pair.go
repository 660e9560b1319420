// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// pair is two agents for the same thing.
type pair struct {
	name, peer   string
	ours, theirs agent
	apart        bool   // both may run at the same time
	roles        bool   // ours is promoted before it is monitored
	prepare      string // what has to be on the node before, for both
}

// pairs are the agents that have a counterpart.
func pairs() []pair {
	return []pair{
		{
			name: "vip", peer: "IPaddr2", apart: true,
			ours:   agent{"mailha/vip", map[string]string{"ip": "10.77.0.60", "nic": "eth0"}},
			theirs: agent{"heartbeat/IPaddr2", map[string]string{"ip": "10.77.0.61", "cidr_netmask": "32", "nic": "eth0"}},
		},
		{
			name: "filesystem", peer: "Filesystem", prepare: "mkdir -p /srv/bench",
			ours: onDisk("mailha/filesystem"), theirs: onDisk("heartbeat/Filesystem"),
		},
		{
			name: "mta", peer: "postfix", prepare: own(scenario.MTAAddr4, scenario.MTAAddr6),
			ours: mta(), theirs: postfix(),
		},
		{
			name: "store", peer: "dovecot", prepare: own(scenario.StoreAddr4, scenario.StoreAddr6, scenario.DirectoryAddr4) + "\n" + usualDovecot +
				"\nsystemctl start '" + scenario.DirectoryUnit + "'", // Dovecot greets nobody before it has found that
			ours: store(), theirs: dovecot(),
		},
		{
			name: "directory", peer: "slapd", roles: true, prepare: own(scenario.DirectoryAddr4, scenario.DirectoryAddr6) +
				"\nsystemctl stop '" + scenario.DirectoryUnit + "'",
			ours: directory(), theirs: slapd(),
		},
	}
}

// own gives the node addresses that a service listens on without an agent that
// brings them.
func own(addrs ...string) string {
	script := "set -eu"
	for _, a := range addrs {
		script += "\nip addr replace " + a + " dev eth0"
	}
	return script
}

// disown takes them away.
func disown(addrs ...string) string {
	script := "set -eu"
	for _, a := range addrs {
		script += "\nip addr flush to " + a
	}
	return script
}

// usualDovecot makes the store the instance that the neighbours' agent monitors,
// whatever parameters it is given.
const usualDovecot = `ln -sfn /etc/dovecot-store/dovecot.conf /etc/dovecot/dovecot.conf`

// onDisk mounts the disk that no service has.
func onDisk(typ string) agent {
	return agent{typ, map[string]string{"device": lab.Disk(4), "directory": "/srv/bench", "fstype": "ext4"}}
}

func mta() agent {
	return agent{"mailha/mta", map[string]string{"config_dir": "/etc/postfix-mx"}}
}

func postfix() agent {
	return agent{"heartbeat/postfix", map[string]string{"config_dir": "/etc/postfix-mx"}}
}

func store() agent {
	return agent{"mailha/store", map[string]string{
		"config_dir": "/etc/dovecot-store", "mail_dir": "/srv/store", "mount_marker": scenario.StoreMarker, "drain_timeout": "1s",
	}}
}

func dovecot() agent {
	return agent{"heartbeat/dovecot", map[string]string{
		"config_file": "/etc/dovecot/dovecot.conf", "pid_file": "/run/dovecot-store/master.pid",
	}}
}

func directory() agent {
	return agent{"mailha/directory", map[string]string{
		"config_dir": "/etc/mailha-ldap", "check_base": "ou=ledger," + scenario.Suffix, "drain_timeout": "1s",
	}}
}

func slapd() agent {
	const socket = "ldapi://%2Frun%2Fmailha-slapd%2Fmailha-ldap.ldapi"
	return agent{"heartbeat/slapd", map[string]string{
		"config": "/etc/mailha-ldap", "user": "openldap", "group": "openldap", "watch_suffix": scenario.Suffix,
		"services": "ldap://" + scenario.DirectoryAddr4 + " ldap://[" + scenario.DirectoryAddr6 + "] ldap://10.77.0.11 " + socket,
	}}
}

// with returns the agent with one more parameter, or another value for it.
func (a agent) with(name, value string) agent {
	params := map[string]string{name: value}
	for k, v := range a.Params {
		if k != name {
			params[k] = v
		}
	}
	return agent{a.Type, params}
}
