// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const (
	storePurge = `export DEBIAN_FRONTEND=noninteractive; dpkg --purge --force-all dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-ldap dovecot-core >/dev/null 2>&1
		rm -rf /usr/lib/dovecot /usr/sbin/dovecot /usr/bin/dove* /usr/lib/systemd/system/mailha-* ` + storeConfig + `; systemctl daemon-reload; ! test -e /usr/sbin/dovecot`
	storeDaemons = "dovecot,anvil,log,config,stats,auth,imap,imap-login,pop3,pop3-login,lmtp"
	// Out of the unit's control group, so that systemd does not end them. Some of them end by themselves.
	storeMoved = `for pid in $(ps -C ` + storeDaemons + ` -o pid=); do echo $pid >/sys/fs/cgroup/systemd/cgroup.procs || test ! -d /proc/$pid; done`
	storeAgain = `mkdir -p /etc/systemd/system/mailha-dovecot@.service.d
		printf '[Service]\nRestart=always\nRestartSec=300ms\n' >/etc/systemd/system/mailha-dovecot@.service.d/restart.conf
		systemctl daemon-reload`
	storeByHand = "dovecot -c " + storeConfig + "/dovecot.conf"
	killMaster  = "kill -9 $(pidof dovecot)"
	// fillDisk leaves no block of the mail file system free.
	fillDisk = "for size in 1M 4k 512; do dd if=/dev/zero of=" + mailDir + "/full.$size bs=$size >/dev/null 2>&1 || true; done; sync -f " + mailDir
)

// storeSuspend suspends all of Dovecot.
var storeSuspend = signal("STOP", "ps -C "+storeDaemons+" -o pid=")

// What can happen to a message store. See TestStop.
func TestStopStore(t *testing.T) {
	t.Parallel()
	for _, tt := range []torture{
		{name: "nothing", r: store()},
		{name: "nothing, local", r: localStore(), local: true, session: true},

		{name: "configuration removed", r: store(), script: "rm -r " + storeConfig},
		{name: "configuration removed, local", r: localStore(), local: true, session: true, script: "rm -r " + storeConfig},
		{name: "configuration and note removed", r: store(), session: true, script: "rm -r " + storeConfig + " /run/mailha"},
		{name: "package purged", r: store(), session: true, script: storePurge},
		{name: "package purged, local", r: localStore(), local: true, script: storePurge},
		{name: "package purged and note removed", r: store(), session: true, script: storePurge + "; rm -r /run/mailha"},

		{name: "file system lazily unmounted", r: store(), session: true, script: "umount -l " + mailDir},
		{name: "file system lazily unmounted, note removed", r: store(), session: true, script: "umount -l " + mailDir + "; rm -r /run/mailha"},
		{name: "file system shut down", r: store(), session: true, script: forceShut},
		{name: "mailboxes removed, local", r: localStore(), local: true, session: true, script: "rm -r " + storeDir},
		{name: "marker removed", r: store(), session: true, script: "rm " + storeMarker},
		{name: "disk full", r: store(), session: true, script: fillDisk},

		{name: "unit masked", r: store(), session: true, script: "systemctl mask --runtime '" + storeUnit + "'"},
		{name: "unit failed", r: store(), script: killMaster},
		{name: "unit failed, client connected", r: store(), session: true, script: killMaster},
		{name: "unit stopped by somebody", r: store(), session: true, script: "systemctl stop '" + storeUnit + "'"},
		{name: "children of a killed master", r: store(), session: true, script: storeMoved + "; " + killMaster},
		{name: "children of a killed master, note removed", r: store(), session: true, script: storeMoved + "; " + killMaster + "; rm -r /run/mailha"},
		{name: "children of a killed master, suspended", r: store(), session: true, timeout: 8 * time.Second,
			script: storeMoved + "; " + signal("STOP", "ps -C imap,imap-login -o pid=") + "; " + killMaster},
		{name: "moved out of its unit, configuration and note removed", r: store(), session: true, script: storeMoved + "; rm -r " + storeConfig + " /run/mailha"},
		{name: "restarted by systemd", r: store(), session: true, returns: true, script: storeAgain + "; " + killMaster},

		{name: "suspended", r: store(), session: true, script: storeSuspend, timeout: 8 * time.Second},
		{name: "master suspended", r: store(), session: true, script: "kill -STOP $(pidof dovecot)", timeout: 8 * time.Second},
		{name: "suspended, long drain", r: store("drain_timeout", "1h"), session: true, script: storeSuspend, timeout: 8 * time.Second},
		{name: "hardly any time", r: store(), session: true, timeout: time.Second},
		{name: "cannot be killed", r: store(), host: freeze, timeout: 8 * time.Second, want: codes{generic}},

		{name: "note removed", r: store(), session: true, script: "rm -r /run/mailha"},
		{name: "note damaged", r: store(), script: "echo '{' >/run/mailha/p_store.note"},
		{name: "base directory removed", r: store(), session: true, script: "rm -r /run/dovecot-mail"},
		{name: "PID file forged", r: store(), session: true, script: "echo 1 >/run/dovecot-mail/master.pid"},
		{name: "bus gone, client connected", r: store(), session: true, script: busGone},
		{name: "bus gone, configuration removed", r: store(), script: "rm -r " + storeConfig + "; " + busGone},
		{name: "systemd hangs", r: store(), host: hang, timeout: 6 * time.Second, mute: true},
		{name: "parameters bad", r: store(), session: true, now: store("ip", "nonsense", "drain_timeout", "soon", "cert_days", "many", "mail_dir", "here")},
		{name: "parameters gone", r: store(), now: resource{"store", "p_store", nil}},
	} {
		tt.kind, tt.furnish = withStore, furnishStore
		t.Run(tt.name, tt.run)
	}
}

// Dovecot may run outside of its unit, or without its master.
func TestStoreStrays(t *testing.T) {
	t.Parallel()
	clients := func(t *testing.T, p *place) {
		imapSession(t, p.Client(), "993", "u1").write("b APPEND INBOX {1000+}\nSubject: half\n\n")
		idling(t, p.Client(), "143", "u2")
	}
	for _, tt := range []struct {
		name  string
		begin func(t *testing.T, p *place, r resource)
	}{
		{"started by hand", func(t *testing.T, p *place, _ resource) { run(t, p.node, storeByHand) }},
		{"started by hand in other words", func(t *testing.T, p *place, _ resource) {
			run(t, p.node, "ln -s "+storeConfig+" /root/elsewhere; dovecot -c /root/elsewhere/dovecot.conf")
		}},
		{"in its unit, master killed", func(t *testing.T, p *place, r resource) {
			r.start(t, p.node)
			clients(t, p)
			run(t, p.node, killMaster)
		}},
		{"moved out of its unit, master killed", func(t *testing.T, p *place, r resource) {
			r.start(t, p.node)
			clients(t, p)
			run(t, p.node, storeMoved+"; "+killMaster)
		}},
		{"moved out of its unit, all killed", func(t *testing.T, p *place, r resource) {
			r.start(t, p.node)
			clients(t, p)
			run(t, p.node, storeMoved+"; kill -9 $(ps -C "+storeDaemons+" -o pid=) || true; echo 1 >/run/dovecot-mail/master.pid")
		}},
	} {
		for _, action := range []string{"stop", "start"} {
			t.Run(tt.name+", "+action, func(t *testing.T) {
				p := newStore(t, lab.Config{Disk: true})
				n, r := p.node, store()
				tt.begin(t, p, r)
				old := left(t, n)
				for _, c := range []call{{}, recurring} {
					a := r.do(t, n, "monitor", c)
					// systemd may end the children by itself in between.
					if still := left(t, n); a.code == notRunning && holding(still, "process") {
						t.Errorf("not running, says the monitor, but there is\n%s\n%s", strings.Join(still, "\n"), a)
					}
				}
				r.must(t, n, action, call{}, success)
				if action == "start" {
					for _, line := range left(t, n) {
						if strings.HasPrefix(line, "process") && slices.Contains(old, line) {
							t.Errorf("the start left a stray: %s", line)
						}
					}
					r.monitor(t, n, 10)
					idling(t, p.Client(), "993", "u1")
					r.stop(t, n)
				}
				bare(t, n)
			})
		}
	}
}

// Two instances on a node, which are called the same, are two resources; neither
// stop touches the other's processes.
func TestTwoStores(t *testing.T) {
	p := newStore(t, lab.Config{})
	n := p.node
	run(t, n, `
		cp -a `+storeConfig+` /etc/dovecot-two
		install -d -o vmail -g vmail /srv/two; touch /srv/two/.mailha-store
		sed -i 's,dovecot-mail,dovecot-two,g; s,^instance_name.*,instance_name = dovecot-mail,; s,port = 24,port = 2424,' /etc/dovecot-two/dovecot.conf
		sed -i 's,/srv/mail/store,/srv/two,' /etc/dovecot-two/users
		cat >>/etc/dovecot-two/dovecot.conf <<EOT
listen = 10.77.0.55
EOT
		echo "listen = `+vip4+`, `+vip6+`" >>`+storeConfig+`/dovecot.conf`)
	one := localStore()
	two := localStore("config_dir", "/etc/dovecot-two", "mail_dir", "/srv/two", "ip", "10.77.0.55").named("p_two")
	one.start(t, n)
	two.start(t, n)
	for _, r := range []resource{one, two} {
		r.monitor(t, n, 10)
	}
	kept := idling(t, p.Client(), "143", "u1") // of the first
	two.stop(t, n)
	one.monitor(t, n, 10)
	kept.write("DONE\n")
	kept.until("c OK")
	two.start(t, n)
	run(t, n, "rm -r "+storeConfig+" /run/mailha/p_store.note; "+storeMoved)
	one.must(t, n, "stop", call{timeout: 8 * time.Second}, success)
	two.monitor(t, n, 10)
	two.stop(t, n)
	bare(t, n)
}
