// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// torture is something that happens to a resource between its start and stop.
type torture struct {
	name    string
	r       resource
	now     resource                        // as it is called for the stop; zero: the same
	beneath resource                        // has the addresses, and is stopped after it; zero: none has
	kind    layer                           // of the node; nil: withMTA
	furnish func(testing.TB, *lab.Node)     // what else the node needs; nil: nothing
	local   bool                            // the queue is on the node's own disk, not on the shared one
	session bool                            // a client is in the middle of a message
	promote bool                            // it is promoted
	script  string                          // what happens on the node
	host    func(t *testing.T, n *lab.Node) // what happens from outside
	timeout time.Duration                   // of the stop; 0: 20 s
	want    codes                           // of the stop; empty: success
	returns bool                            // systemd starts the unit again, unless it is really stopped
	mute    bool                            // systemd answers nobody any more
	stays   bool                            // nothing says whose the address is, so it stays and the stop fails
}

const (
	soon      = "systemd-run --quiet --on-active=1s --timer-property=AccuracySec=1ms "
	busGone   = "systemctl stop dbus.socket dbus.service"
	purge     = `export DEBIAN_FRONTEND=noninteractive; dpkg --purge --force-all postfix >/dev/null 2>&1; rm -rf /usr/lib/postfix /usr/sbin/post* /usr/lib/systemd/system/mailha-* /etc/postfix-mx; systemctl daemon-reload; ! test -e /usr/sbin/postfix`
	forceShut = `python3 -c 'import fcntl, os, struct; fcntl.ioctl(os.open("` + mailDir + `", 0), 0x8004587d, struct.pack("I", 2))'`
	daemons   = "master,qmgr,pickup,smtpd,smtp,cleanup,postlogd,trivial-rewrite" // of Postfix
	suspend   = `kill -STOP $(ps -C ` + daemons + ` -o pid=)`
)

// signal is a script that sends a signal to each of the processes that a command lists,
// of which some may have ended by themselves meanwhile.
func signal(name, list string) string {
	return "for p in $(" + list + "); do kill -" + name + " $p || test ! -d /proc/$p; done"
}

// A stop may say that it succeeded only if nothing is left, whatever happened
// to the resource. It has to succeed wherever that is possible at all, within
// its timeout: the cluster's only other way is to cut the node's power.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []torture{
		{name: "nothing", r: mta()},
		{name: "nothing, local", r: mta(), local: true},

		{name: "configuration removed", r: mta(), script: "rm -r " + configDir},
		{name: "configuration removed, local", r: mta(), local: true, session: true, script: "rm -r " + configDir},
		{name: "configuration and note removed", r: mta(), script: "rm -r " + configDir + " /run/mailha"},
		{name: "package purged", r: mta(), session: true, script: purge},
		{name: "package purged, local", r: mta(), local: true, script: purge},
		{name: "package purged and note removed", r: mta(), script: purge + "; rm -r /run/mailha"},

		{name: "file system lazily unmounted", r: mta(), session: true, script: "umount -l " + mailDir},
		{name: "file system lazily unmounted, note removed", r: mta(), script: "umount -l " + mailDir + "; rm -r /run/mailha"},
		{name: "file system shut down", r: mta(), session: true, script: forceShut},
		{name: "queue removed, local", r: mta(), local: true, script: "rm -r " + mailDir + "/*"},

		{name: "unit masked", r: mta(), script: "systemctl mask --runtime '" + mtaUnit + "'"},
		{name: "unit failed", r: mta(), script: "kill -9 $(ps -C master -o pid=)"},
		{name: "unit failed, client connected", r: mta(), session: true, script: "kill -9 $(ps -C master -o pid=)"},
		{name: "unit stopped by somebody", r: mta(), script: "systemctl stop '" + mtaUnit + "'"},

		{name: "suspended", r: mta(), session: true, script: suspend, timeout: 8 * time.Second},
		{name: "deaf to SIGTERM", r: service("deaf.service"), timeout: 8 * time.Second},
		{name: "deaf to SIGTERM, no drain time given", r: service("deaf.service", "drain_timeout", ""), timeout: 8 * time.Second},
		{name: "deaf to SIGTERM, long drain, client connected", r: mta("drain_timeout", "1h"), session: true, script: suspend, timeout: 8 * time.Second},
		{name: "deaf to SIGTERM, least time", r: service("deaf.service"), timeout: 3 * time.Second},
		{name: "hardly any time", r: mta(), session: true, timeout: time.Second},
		{name: "its stop command hangs", r: service("slowstop.service"), timeout: 8 * time.Second},
		{name: "restarted by systemd", r: service("phoenix.service"), script: "systemctl kill -s KILL phoenix.service", returns: true},
		{name: "cannot be killed", r: mta(), host: freeze, timeout: 8 * time.Second, want: codes{generic}},

		{name: "note removed", r: mta(), script: "rm -r /run/mailha"},
		{name: "note removed, service", r: service("plain.service"), script: "rm -r /run/mailha"},
		{name: "note removed, vip", r: vip(), script: "rm -r /run/mailha"},
		{name: "note damaged", r: mta(), script: "echo '{' >/run/mailha/p_mta.note"},
		{name: "note damaged, vip", r: vip(), script: "echo '{' >/run/mailha/p_vip.note"},
		{name: "note damaged and parameters bad, vip", r: vip(), now: vip("ip", "nonsense"), script: "echo '{' >/run/mailha/p_vip.note", want: codes{generic}, stays: true},
		{name: "note removed and parameters bad, vip", r: vip(), now: vip("ip", "nonsense"), script: "rm -r /run/mailha", want: codes{generic}, stays: true},
		{name: "note damaged and parameters bad", r: mta(), now: mta("ip", "nonsense"), script: "echo '{' >/run/mailha/p_mta.note", want: codes{generic}, stays: true},
		{name: "note emptied", r: mta(), script: ">/run/mailha/p_mta.note"},
		{name: "note is a directory", r: mta(), script: "rm /run/mailha/p_mta.note; mkdir /run/mailha/p_mta.note"},

		{name: "bus gone", r: mta(), script: busGone},
		{name: "bus gone, client connected", r: mta(), session: true, script: busGone},
		{name: "bus gone, suspended", r: mta(), script: suspend + "; " + busGone, timeout: 8 * time.Second},
		{name: "bus gone, deaf to SIGTERM", r: service("deaf.service"), script: busGone, timeout: 8 * time.Second},
		{name: "bus gone, configuration removed", r: mta(), script: "rm -r " + configDir + "; " + busGone},
		{name: "bus gone, note removed", r: mta(), script: "rm -r /run/mailha; " + busGone},
		{name: "bus gone, restarted by systemd", r: service("phoenix.service"), script: busGone, timeout: 8 * time.Second, returns: true},
		{name: "bus hangs", r: mta(), script: "kill -STOP $(ps -C dbus-daemon -o pid=)", timeout: 10 * time.Second},
		{name: "bus hangs, restarted by systemd", r: service("phoenix.service"), script: "kill -STOP $(ps -C dbus-daemon -o pid=)", timeout: 10 * time.Second, returns: true},
		{name: "bus goes during the stop", r: mta("drain_timeout", "3s"), session: true, script: soon + busGone},
		{name: "bus goes during the stop of the unit", r: service("slowstop.service"), script: soon + busGone, timeout: 8 * time.Second},
		{name: "bus comes back", r: mta("drain_timeout", "3s"), session: true, script: busGone + "; " + soon + "systemctl start dbus.socket dbus.service"},
		{name: "systemd hangs", r: mta(), host: hang, timeout: 6 * time.Second, mute: true},
		{name: "systemd hangs, deaf to SIGTERM", r: service("deaf.service"), host: hang, timeout: 6 * time.Second, mute: true},
		{name: "systemd executes itself anew", r: mta(), script: "(for i in 1 2 3 4 5; do systemctl daemon-reexec; done) >/dev/null 2>&1 &"},

		{name: "parameters bad", r: mta(), now: mta("ip", "nonsense", "drain_timeout", "soon", "gate_mode", "perhaps")},
		{name: "parameters bad, vip", r: vip(), now: vip("ip", "nonsense")},
		{name: "parameters bad, service", r: service("plain.service"), now: service("no unit", "ports", "none", "ip", "")},
		{name: "parameters gone", r: mta(), now: resource{"mta", "p_mta", nil}},
		{name: "parameters gone, service", r: service("plain.service"), now: resource{"service", "p_service", nil}},
		{name: "parameters gone, vip", r: vip(), now: resource{"vip", "p_vip", nil}},
		{name: "parameters of another address", r: mta(), now: mta("ip", "10.77.0.51")},
		{name: "parameters of an interface that is missing", r: mta(), now: mta("nic", "eth9")},

		{name: "interface down", r: mta(), script: "ip link set eth0 down"},
		{name: "address twice, with another prefix length", r: vip(), script: "ip addr add " + vip4 + "/24 dev eth0; ip addr add " + vip4 + "/32 dev lo"},
		{name: "ruleset flushed", r: mta(), script: "nft flush ruleset"},
	} {
		t.Run(tt.name, tt.run)
	}
}

func (tt torture) run(t *testing.T) {
	if tt.kind == nil {
		tt.kind = withMTA
	}
	p := newPlaceOf(t, tt.kind, lab.Config{Disk: !tt.local})
	n := p.node
	if tt.furnish != nil {
		tt.furnish(t, n)
	}
	if tt.beneath.agent != "" {
		tt.beneath.start(t, n)
	}
	tt.r.start(t, n)
	if tt.promote {
		tt.r.must(t, n, "promote", call{}, success)
	}
	switch {
	case tt.session && tt.r.agent == "internet-agent":
		connect(t, p.Client(), frontAddr).begin("double-bounce@front.example.test")
		greets(t, p, "143")
	case tt.session && tt.r.agent == "store":
		imapSession(t, p.Client(), "993", "u1").write("b APPEND INBOX {1000+}\nSubject: half\n\n")
		idling(t, p.Client(), "143", "u2")
	case tt.session:
		connect(t, p.Client(), vip4).begin("someone@example.test")
	}
	if tt.script != "" {
		run(t, n, tt.script)
	}
	if tt.host != nil {
		tt.host(t, n)
	}
	now := tt.now
	if now.agent == "" {
		now = tt.r
	}
	if found := left(t, n); holding(found, "process") {
		if a := now.do(t, n, "monitor", call{timeout: 10 * time.Second}); a.code == notRunning {
			t.Errorf("a probe finds nothing where this is:\n%s\n%s", strings.Join(found, "\n"), a)
		}
	}
	a := now.do(t, n, "stop", call{timeout: tt.timeout})
	t.Logf("stop took %s", a.took.Round(time.Millisecond))
	if tt.beneath.agent != "" {
		tt.beneath.stop(t, n)
	}
	found := left(t, n)
	if a.code == success && len(found) > 0 {
		t.Errorf("the stop lies: it says that nothing is left, but there is\n%s\n%s", strings.Join(found, "\n"), a)
	}
	if len(tt.want) == 0 {
		tt.want = codes{success}
	}
	if !slices.Contains(tt.want, a.code) {
		t.Errorf("want exit code %v, got %s\nleft:\n%s", tt.want, a, strings.Join(found, "\n"))
	}
	for _, line := range found {
		if strings.HasPrefix(line, "address") && !tt.stays {
			t.Errorf("an address must not stay because something else does: %s", line)
		}
	}
	if a.code != success {
		return
	}
	if tt.returns {
		run(t, n, "sleep 0.5") // longer than systemd waits
		bare(t, n)
	}
	// The file system is not held either, and no stop is one too many.
	run(t, n, "! mountpoint -q "+mailDir+" || umount "+mailDir)
	if !tt.mute {
		now.must(t, n, "stop", call{timeout: 5 * time.Second}, success)
	}
}

// hang suspends the node's PID 1, which only somebody outside of it can do.
func hang(t *testing.T, n *lab.Node) {
	t.Helper()
	leader, err := n.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(leader, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// freeze makes the daemons' processes unkillable until the lab is taken down: a
// group of the freezer (cgroups(7) version 1) lets a signal in when it thaws.
func freeze(t *testing.T, n *lab.Node) {
	t.Helper()
	leader, err := n.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("/sys/fs/cgroup/freezer", freezerGroup(t, leader))
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	ice := filepath.Join(dir, "ice")
	if err := os.Mkdir(ice, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(procs)) {
		comm, _ := os.ReadFile("/proc/" + pid + "/comm")
		if slices.Contains([]string{"master", "qmgr", "smtpd", "pickup", "dovecot", "anvil", "log"}, strings.TrimSpace(string(comm))) {
			if err := os.WriteFile(filepath.Join(ice, "cgroup.procs"), []byte(pid), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(ice, "freezer.state"), []byte("FROZEN"), 0); err != nil {
		t.Fatal(err)
	}
	await(t, patience, "the daemons to freeze", func() bool {
		state, _ := os.ReadFile(filepath.Join(ice, "freezer.state"))
		return string(state) == "FROZEN\n"
	})
}

func freezerGroup(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if _, group, ok := strings.Cut(strings.TrimSpace(line), ":freezer:"); ok {
			return group
		}
	}
	t.Fatal(fmt.Sprintf("no freezer among the control groups of process %d:\n%s", pid, data))
	return ""
}
