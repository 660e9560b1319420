// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Resources as some people have them.
func TestOddResources(t *testing.T) {
	n := newStore(t, lab.Config{}).node
	for _, tt := range []struct {
		name   string
		r      resource
		before string
		after  string
	}{
		{name: "no address", r: mta("ip", "")},
		{name: "IPv6 alone", r: mta("ip", vip6)},
		{name: "IPv4 alone", r: mta("ip", vip4)},
		{name: "store without an address", r: localStore("ip", "")},
		{name: "store, IPv6 alone", r: localStore("ip", vip6)},
		{name: "store, no bus", r: localStore(), before: busGone, after: "systemctl start dbus.socket"},
		{name: "store, marker elsewhere", r: localStore("mount_marker", "/srv/marker-of-the-store"), before: "touch /srv/marker-of-the-store"},
		{name: "service without ports", r: service("plain.service", "ports", "")},
		{name: "service without ports and addresses", r: service("plain.service", "ports", "", "ip", "")},
		{name: "longest name", r: mta().named("p_" + strings.Repeat("x", 250))},
		{name: "name with everything in it", r: vip().named("p.v-i_p:12/../&<é")},
		{name: "a name like another's note", r: vip().named("p_mta.note")},
		{name: "prefix lengths", r: vip("ip", "10.77.0.50/24,10.77.0.51 fd77::50/64 fd77::51", "cidr_netmask", "25")},
		{name: "many addresses", r: vip("ip", "10.77.0.150,10.77.0.151,10.77.0.152,10.77.0.153,10.77.0.154,10.77.0.155,10.77.0.156,10.77.0.157,fd77::150,fd77::151,fd77::152,fd77::153")},
		{name: "no bus", r: mta(), before: busGone, after: "systemctl start dbus.socket"},
		{name: "no bus, service", r: service("plain.service"), before: busGone, after: "systemctl start dbus.socket"},
		{name: "ruleset of others", r: mta(), before: "nft add table inet filter; nft add chain inet filter input '{type filter hook input priority 0; policy accept;}'", after: "nft delete table inet filter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != "" {
				run(t, n, tt.before)
			}
			tt.r.must(t, n, "monitor", call{}, notRunning)
			tt.r.start(t, n)
			tt.r.monitor(t, n, 0)
			tt.r.monitor(t, n, 20)
			tt.r.must(t, n, "reload-agent", call{}, success)
			tt.r.stop(t, n)
			tt.r.must(t, n, "monitor", call{}, notRunning)
			if tt.after != "" {
				run(t, n, tt.after)
			}
			bare(t, n)
		})
	}
}

// A start that cannot succeed leaves nothing, and says why.
func TestStartFails(t *testing.T) {
	const occupy = "systemd-run --quiet --unit=occupier python3 -c 'import signal, socket; s = socket.socket(); s.bind((\"\", 25)); s.listen(); signal.pause()'; " +
		"until ss -Htln | grep -q :25; do sleep 0.02; done"
	n := newPlace(t, lab.Config{}).node
	for _, tt := range []struct {
		name   string
		r      resource
		before string
		after  string
		reason string

		timeout time.Duration // 0: 20 s
	}{
		{"port taken", mta(), occupy, "systemctl stop occupier", mtaUnit, 0},
		{"configuration wrong", mta(), "cp /etc/postfix-mx/main.cf /root/; sed -i 's/^inet_interfaces.*/inet_interfaces = 192.0.2.77/' /etc/postfix-mx/main.cf", "cp /root/main.cf /etc/postfix-mx/", mtaUnit, 0},
		{"no room for notes", mta(), "mkdir -p /run/mailha; mount -t tmpfs -o ro none /run/mailha", "umount /run/mailha", "/run/mailha", 0},
		{"no room for notes, vip", vip(), "mkdir -p /run/mailha; mount -t tmpfs -o ro none /run/mailha", "umount /run/mailha", "/run/mailha", 0},
		{"never ready", service("slowstart.service"), "", "", "slowstart.service", 10 * time.Second},
		{"does not listen", service("plain.service", "ports", "7002"), "", "", "7002", 10 * time.Second},
		{"dies", service("dies.service"), "printf '[Service]\nExecStart=/bin/false\n' >/etc/systemd/system/dies.service; systemctl daemon-reload", "systemctl reset-failed dies", "dies.service", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != "" {
				run(t, n, tt.before)
			}
			if tt.after != "" {
				t.Cleanup(func() {
					run(t, n, tt.after)
					bare(t, n)
				})
			}
			before := left(t, n)
			a := tt.r.must(t, n, "start", call{timeout: tt.timeout}, generic)
			if !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
			}
			if after := left(t, n); !slices.Equal(before, after) {
				t.Errorf("left behind: %q\nbefore: %q", after, before)
			}
			tt.r.must(t, n, "monitor", call{}, notRunning)
			tt.r.stop(t, n)
			if after := left(t, n); !slices.Equal(before, after) {
				t.Errorf("left behind: %q\nbefore: %q", after, before)
			}
		})
	}
}

// Two instances of Postfix on a node are two resources; neither stop touches
// the other's processes, however they were left.
func TestTwoInstances(t *testing.T) {
	n := newPlace(t, lab.Config{}).node
	run(t, n, `
		cp -a /etc/postfix-mx /etc/postfix-mx2
		install -d /srv/mail2/queue; install -d -o postfix /srv/mail2/data
		sed -i 's,/srv/mail/,/srv/mail2/,; s/postfix-mx/postfix-mx2/; s/mx.example/mx2.example/' /etc/postfix-mx2/main.cf
		sed -i 's/^smtp \+inet/2525 inet/' /etc/postfix-mx2/master.cf`)
	one := mta()
	two := mta("config_dir", "/etc/postfix-mx2", "ip", "10.77.0.55").named("p_mta2")
	one.start(t, n)
	two.start(t, n)
	for _, r := range []resource{one, two} {
		r.monitor(t, n, 20)
	}
	one.stop(t, n)
	two.monitor(t, n, 20)
	one.must(t, n, "monitor", call{}, notRunning)
	one.start(t, n)
	run(t, n, "rm -r /etc/postfix-mx /run/mailha/p_mta.note; kill -STOP $(pgrep -f '^smtpd|^qmgr' | head -n 2)")
	one.must(t, n, "stop", call{timeout: 8 * time.Second}, success)
	run(t, n, "kill -CONT $(ps -C smtpd,qmgr -o pid=)")
	two.monitor(t, n, 20)
	two.stop(t, n)
	bare(t, n)
}
