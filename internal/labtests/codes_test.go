// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// codes are those that an action may end with.
type codes []int

// anyCode is for what a table says nothing about.
var anyCode codes

// What a cluster manager may be told where nothing runs. A probe must never
// ban the node, and a stop has nothing to do.
func TestCodesWhereNothingRuns(t *testing.T) {
	n := newStore(t, lab.Config{Disks: 1}).node
	furnishReplica(t, n, 1, 1)
	const database = ldapConfig + "/cn=config/olcDatabase={1}mdb.ldif"
	for _, tt := range []struct {
		name       string
		r          resource
		arrange    string // and how to undo it
		undo       string
		start      codes
		monitor    codes
		validate   codes // the parameters alone
		validate10 codes // and whether they fit this node
	}{
		{name: "nothing wrong, mta", r: mta(),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},
		{name: "nothing wrong, service", r: service("plain.service"),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},
		{name: "nothing wrong, store", r: localStore(),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},
		{name: "nothing wrong, vip", r: vip(),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},

		{name: "nothing wrong, file system", r: fileSystem(),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},
		{name: "device missing", r: fileSystem("device", "/dev/nowhere"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "device is a directory", r: fileSystem("device", "/srv"),
			start: codes{args}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "no place for the mount point", r: fileSystem("directory", "/nowhere/data"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "another file system on the device", r: fileSystem("fstype", "btrfs"),
			start: codes{args}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "mount missing", r: fileSystem(), arrange: "mv /usr/bin/mount /root/", undo: "mv /root/mount /usr/bin/",
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "device not given", r: fileSystem("device", ""),
			start: codes{configured}, monitor: codes{configured}, validate: codes{configured}, validate10: codes{configured}},
		{name: "directory is the root", r: fileSystem("directory", "/"),
			start: codes{configured}, monitor: codes{configured}, validate: codes{configured}, validate10: codes{configured}},
		{name: "options are none", r: fileSystem("options", "bind"),
			start: codes{configured}, monitor: codes{configured}, validate: codes{configured}, validate10: codes{configured}},
		{name: "nothing wrong, directory", r: directory(),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{success}, validate10: codes{success}},

		{name: "slapd missing", r: directory(), arrange: "mv /usr/sbin/slapd /root/", undo: "mv /root/slapd /usr/sbin/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "directory's configuration missing", r: directory(), arrange: "mv " + ldapConfig + " /root/", undo: "mv /root/mailha-ldap /etc/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "directory's configuration broken", r: directory(), arrange: "cp '" + database + "' /root/; echo 'olcSyncrepl: nonsense' >>'" + database + "'", undo: "cp /root/olcDatabase* '" + database + "'; chown openldap: '" + database + "'",
			start: codes{args}, monitor: codes{args, notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "directory's data missing", r: directory(), arrange: "mv /srv/mail/ldap /root/", undo: "mv /root/ldap /srv/mail/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "directory without a socket for root", r: directory("urls", "ldap:///"),
			start: codes{args}, monitor: codes{args, notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "directory listens on what is no URL", r: directory("urls", "http://x"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "directory has a name without a password", r: directory("check_bind_dn", "cn=x"),
			start: codes{configured}, monitor: codes{notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "directory's address is nonsense", r: directory("ip", "nonsense"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},

		{name: "software missing", r: mta(), arrange: "mv /usr/sbin/postfix /root/", undo: "mv /root/postfix /usr/sbin/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "postconf missing", r: mta(), arrange: "mv /usr/sbin/postconf /root/", undo: "mv /root/postconf /usr/sbin/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "configuration missing", r: mta(), arrange: "mv /etc/postfix-mx /root/", undo: "mv /root/postfix-mx /etc/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "master.cf missing", r: mta(), arrange: "mv /etc/postfix-mx/master.cf /root/", undo: "mv /root/master.cf /etc/postfix-mx/",
			start: codes{installed, args}, monitor: codes{installed, args, notRunning}, validate: codes{success}, validate10: codes{installed, args}},
		{name: "master.cf broken", r: mta(), arrange: "cp /etc/postfix-mx/master.cf /root/; echo 'nonsense inet n - n - - smtpd' >>/etc/postfix-mx/master.cf", undo: "mv /root/master.cf /etc/postfix-mx/",
			start: codes{args}, monitor: codes{args, notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "queue missing", r: mta(), arrange: "mv /srv/mail /root/; mkdir /srv/mail", undo: "rmdir /srv/mail; mv /root/mail /srv/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "software missing, store", r: localStore(), arrange: "mv /usr/sbin/dovecot /root/", undo: "mv /root/dovecot /usr/sbin/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "doveconf missing", r: localStore(), arrange: "mv /usr/bin/doveconf /root/", undo: "mv /root/doveconf /usr/bin/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "configuration missing, store", r: localStore(), arrange: "mv /etc/dovecot-mail /root/", undo: "mv /root/dovecot-mail /etc/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "configuration broken, store", r: localStore(), arrange: "echo 'no_such_setting = 1' >>/etc/dovecot-mail/dovecot.conf", undo: "sed -i '$d' /etc/dovecot-mail/dovecot.conf",
			start: codes{args}, monitor: codes{args, notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "no protocols", r: localStore(), arrange: "echo 'protocols =' >>/etc/dovecot-mail/dovecot.conf", undo: "sed -i '$d' /etc/dovecot-mail/dovecot.conf",
			start: codes{args}, monitor: codes{args, notRunning}, validate: codes{success}, validate10: codes{args}},
		{name: "mailboxes missing", r: localStore(), arrange: "mv /srv/mail/store /root/", undo: "mv /root/store /srv/mail/",
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "mailboxes on the root file system", r: store(),
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "marker elsewhere", r: localStore("mount_marker", "/proc/version"),
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "mail directory not given", r: resource{"store", "p_store", params{"config_dir": storeConfig}},
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "certificate days are nonsense", r: localStore("cert_days", "soon"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "unit of another name missing", r: mta("unit", "nosuch.service"),
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: anyCode},
		{name: "unit missing", r: service("nosuch.service"),
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},
		{name: "unit masked", r: service("masked.service"),
			start: codes{installed}, monitor: codes{installed, notRunning}, validate: codes{success}, validate10: codes{installed}},

		{name: "interface missing, mta", r: mta("nic", "eth9"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: anyCode},
		{name: "interface missing, service", r: service("plain.service", "nic", "eth9"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: anyCode},
		{name: "interface missing, vip", r: vip("nic", "eth9"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: anyCode},
		{name: "no interface in that subnet", r: vip("ip", "192.0.2.1"),
			start: codes{installed}, monitor: codes{notRunning}, validate: codes{success}, validate10: anyCode},

		{name: "address is nonsense, mta", r: mta("ip", "nonsense"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "address is nonsense, service", r: service("plain.service", "ip", "10.77.0.500"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "address is nonsense, vip", r: vip("ip", "10.77.0.50/33"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "address not given", r: resource{"vip", "p_vip", nil},
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "unit not given", r: resource{"service", "p_service", nil},
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "unit is nonsense", r: service("no unit"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "unit is a template", r: service("mailha-postfix@.service"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "port is nonsense", r: service("plain.service", "ports", "smtp"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "relative configuration directory", r: mta("config_dir", "postfix-mx"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "prefix length is nonsense", r: mta("cidr_netmask", "255.255.255.0"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "drain timeout is nonsense", r: mta("drain_timeout", "soon"),
			start: codes{configured}, monitor: codes{configured, notRunning}, validate: codes{configured}, validate10: codes{configured}},
		{name: "misspelt parameter", r: mta("drain_timout", "1s"),
			start: codes{success}, monitor: codes{notRunning}, validate: codes{configured}, validate10: codes{configured}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.arrange != "" {
				run(t, n, tt.arrange)
				t.Cleanup(func() { run(t, n, tt.undo) })
			}
			check := func(action string, c call, want codes) {
				t.Helper()
				if a := tt.r.do(t, n, action, c); !slices.Contains(want, a.code) && len(want) > 0 {
					t.Errorf("%s %+v: want exit code %v, got %s", action, c, want, a)
				}
			}
			check("validate-all", call{}, tt.validate)
			check("validate-all", call{depth: 10}, tt.validate10)
			check("monitor", call{}, codes{notRunning})
			check("monitor", recurring, tt.monitor)
			check("stop", call{}, codes{success})
			bare(t, n)
			check("start", call{}, tt.start)
			if !slices.Contains(tt.start, success) {
				bare(t, n)
				check("monitor", call{}, codes{notRunning})
			}
			check("stop", call{}, codes{success})
			bare(t, n)
		})
	}
}

// Actions that an agent does not have, and callers that may not call.
func TestCodesOfOtherCalls(t *testing.T) {
	n := newStore(t, lab.Config{Disks: 1}).node
	for _, r := range []resource{mta(), service("plain.service"), vip(), localStore(), fileSystem()} {
		for _, action := range []string{"promote", "demote", "notify", "migrate_to", "migrate_from", "reload", "status", "Start", "start ", "--start"} {
			t.Run(r.agent+" "+action, func(t *testing.T) { r.must(t, n, action, call{}, unimplemented) })
		}
		t.Run(r.agent+" by nobody", func(t *testing.T) {
			for _, action := range []string{"start", "monitor", "reload-agent"} {
				r.must(t, n, action, call{nobody: true}, perm)
			}
			// What bans a node is no answer to a stop.
			r.must(t, n, "stop", call{nobody: true}, generic)
			r.must(t, n, "validate-all", call{nobody: true}, success)
		})
		t.Run(r.agent+" not running", func(t *testing.T) {
			r.must(t, n, "reload-agent", call{}, generic, notRunning)
			r.stop(t, n)
		})
	}
	r := directory()
	furnishReplica(t, n, 1, 1)
	for _, action := range []string{"notify", "migrate_to", "migrate_from", "reload", "status", "Promote"} {
		t.Run(r.agent+" "+action, func(t *testing.T) { r.must(t, n, action, call{}, unimplemented) })
	}
	t.Run(r.agent+" by nobody", func(t *testing.T) {
		for _, action := range []string{"start", "monitor", "promote", "reload-agent"} {
			r.must(t, n, action, call{nobody: true}, perm)
		}
		for _, action := range []string{"stop", "demote"} {
			r.must(t, n, action, call{nobody: true}, generic)
		}
	})
	t.Run(r.agent+" not running", func(t *testing.T) {
		r.must(t, n, "reload-agent", call{}, generic, notRunning)
		r.stop(t, n)
	})
	bare(t, n)
}

// Where something of the resource runs, no answer may be read as "it is not
// here": Pacemaker would start it elsewhere.
func TestCodesWhereItRuns(t *testing.T) {
	n := newStore(t, lab.Config{}).node
	furnishReplica(t, n, 1, 1)
	const suspend = `kill -STOP $(ps -C master,smtpd -o pid=)`
	for _, tt := range []struct {
		name    string
		r       resource
		now     resource // as it is called afterwards; zero: the same
		arrange string
		undo    string
		monitor codes
		depth10 codes
	}{
		{name: "well, mta", r: mta(), monitor: codes{success}, depth10: codes{success}},
		{name: "well, service", r: service("plain.service"), monitor: codes{success}, depth10: codes{success}},
		{name: "well, vip", r: vip(), monitor: codes{success}, depth10: codes{success}},

		{name: "well, directory", r: directory(), monitor: codes{success}, depth10: codes{success}},
		{name: "directory suspended", r: directory(), arrange: suspendLDAP,
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "slapd missing", r: directory(), arrange: "mv /usr/sbin/slapd /root/", undo: "mv /root/slapd /usr/sbin/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "directory's configuration missing", r: directory(), arrange: "mv " + ldapConfig + " /root/", undo: "mv /root/mailha-ldap /etc/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "directory's configuration and note missing", r: directory(), arrange: "mv " + ldapConfig + " /root/; rm /run/mailha/*.note", undo: "mv /root/mailha-ldap /etc/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "directory's note damaged", r: directory(), arrange: "echo '{' >/run/mailha/p_dir.note",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "directory's parameters bad", r: directory(), now: directory("ip", "nonsense"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "directory's address here", r: directory(), arrange: "ip addr add " + vip4 + "/32 dev eth0",
			monitor: codes{failedPromoted}, depth10: codes{failedPromoted}},

		{name: "suspended", r: mta(), arrange: suspend,
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "well, store", r: localStore(), monitor: codes{success}, depth10: codes{success}},
		{name: "suspended, store", r: localStore(), arrange: "kill -STOP $(pidof dovecot)",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "software missing, store", r: localStore(), arrange: "mv /usr/sbin/dovecot /root/", undo: "mv /root/dovecot /usr/sbin/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "configuration missing, store", r: localStore(), arrange: "mv /etc/dovecot-mail /root/", undo: "mv /root/dovecot-mail /etc/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "configuration and note missing, store", r: localStore(), arrange: "mv /etc/dovecot-mail /root/; rm /run/mailha/*.note", undo: "mv /root/dovecot-mail /etc/",
			monitor: codes{success, generic}, depth10: codes{generic}},
		{name: "mailboxes missing, store", r: localStore(), arrange: "mv /srv/mail/store /root/", undo: "mv /root/store /srv/mail/",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "software missing", r: mta(), arrange: "mv /usr/sbin/postfix /root/", undo: "mv /root/postfix /usr/sbin/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "configuration missing", r: mta(), arrange: "mv /etc/postfix-mx /root/", undo: "mv /root/postfix-mx /etc/",
			monitor: codes{success, generic}, depth10: codes{degraded}},
		{name: "configuration and note missing", r: mta(), arrange: "mv /etc/postfix-mx /root/; rm /run/mailha/*.note", undo: "mv /root/postfix-mx /etc/",
			monitor: codes{success, generic}, depth10: codes{generic}},
		{name: "note damaged", r: mta(), arrange: "echo '{' >/run/mailha/p_mta.note",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "note empty", r: mta(), arrange: "echo '{}' >/run/mailha/p_mta.note",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "parameters bad, mta", r: mta(), now: mta("ip", "nonsense"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "parameters bad, vip", r: vip(), now: vip("ip", "nonsense"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "a probe that takes too long in the parameters", r: mta(), now: mta("probe_wait", "3s"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "an interface's alternative name in the parameters", r: mta(), now: mta("nic", "mail-frontend-lan0"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "interface gone from the parameters", r: mta(), now: mta("nic", "eth9"),
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "unit missing, address left", r: service("plain.service"), arrange: "systemctl stop plain.service",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "unit runs, address gone", r: service("plain.service"), arrange: "ip addr del " + vip4 + "/32 dev eth0",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "unit runs, masked", r: service("plain.service"),
			arrange: "cp /etc/systemd/system/plain.service /root/; ln -sf /dev/null /etc/systemd/system/plain.service; systemctl daemon-reload",
			undo:    "rm /etc/systemd/system/plain.service; mv /root/plain.service /etc/systemd/system/; systemctl daemon-reload",
			monitor: codes{success, generic}, depth10: codes{success, generic}},
		{name: "unit runs, its file is gone", r: service("plain.service"),
			arrange: "mv /etc/systemd/system/plain.service /root/; systemctl daemon-reload",
			undo:    "mv /root/plain.service /etc/systemd/system/; systemctl daemon-reload",
			monitor: codes{success, generic}, depth10: codes{success, generic}},
		{name: "one of two addresses gone", r: vip(), arrange: "ip addr del " + vip6 + "/128 dev eth0",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "another prefix length", r: vip(), arrange: "ip addr del " + vip4 + "/32 dev eth0; ip addr add " + vip4 + "/24 dev eth0",
			monitor: codes{generic}, depth10: codes{generic}},
		{name: "interface down", r: vip(), arrange: "sysctl -q net.ipv6.conf.eth0.keep_addr_on_down=1; ip link set eth0 down",
			undo:    "sysctl -q net.ipv6.conf.eth0.keep_addr_on_down=0; ip link set eth0 up; ip addr add fd77::11/64 dev eth0 nodad 2>/dev/null || true",
			monitor: codes{generic}, depth10: codes{generic}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := tt.now
			if now.agent == "" {
				now = tt.r
			}
			tt.r.start(t, n)
			if tt.arrange != "" {
				run(t, n, tt.arrange)
			}
			now.must(t, n, "monitor", call{interval: time.Second, timeout: 5 * time.Second}, tt.monitor...)
			now.must(t, n, "monitor", call{interval: time.Second, timeout: 5 * time.Second, depth: 10}, tt.depth10...)
			// That of a probe is the one that a second start hangs on.
			now.must(t, n, "monitor", call{timeout: 5 * time.Second}, tt.monitor...)
			now.must(t, n, "stop", call{}, success)
			bare(t, n)
			if tt.undo != "" {
				run(t, n, tt.undo)
			}
		})
	}
}

// A unit on its way up or down is neither stopped nor well.
func TestCodesOnTheWay(t *testing.T) {
	n := newPlace(t, lab.Config{}).node
	for _, tt := range []struct{ name, unit, begin, seen string }{
		{"activating", "slowstart.service", "systemctl start --no-block slowstart", "activating"},
		{"deactivating", "slowstop.service", "systemctl start slowstop; systemctl stop --no-block slowstop", "deactivating"},
		{"waiting to be restarted", "phoenix.service", "sed -i s/300ms/1h/ /etc/systemd/system/phoenix.service; systemctl daemon-reload; systemctl start phoenix; systemctl kill -s KILL phoenix", "activating"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, n, tt.begin)
			await(t, 5*time.Second, "unit to be "+tt.seen, func() bool {
				return run(t, n, "systemctl is-active "+tt.unit+" || true") == tt.seen
			})
			r := service(tt.unit)
			for _, c := range []call{{}, recurring, {depth: 10, interval: time.Second}} {
				a := r.must(t, n, "monitor", c, generic)
				if !strings.Contains(a.reason, tt.unit) || !strings.Contains(a.reason, tt.seen) {
					t.Errorf("the reason names neither unit nor state: %s", a.reason)
				}
			}
			a := r.must(t, n, "stop", call{timeout: 10 * time.Second}, success)
			t.Log(fmt.Sprint("stop took ", a.took))
			bare(t, n)
			if state := run(t, n, "systemctl is-active "+tt.unit+" || true"); state != "inactive" && state != "failed" {
				t.Errorf("%s is %s", tt.unit, state)
			}
		})
	}
}
