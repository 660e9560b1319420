// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	_ "embed"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

//go:embed exim.sh
var eximSetup []byte

const (
	eximConfig = "/etc/exim-mx/exim.conf"
	eximUnit   = `mailha-exim@etc-exim\x2dmx-exim.conf.service`
	eximList   = `pidof exim4`
	eximPurge  = `export DEBIAN_FRONTEND=noninteractive; dpkg --purge --force-all exim4-daemon-light exim4-base exim4-config >/dev/null 2>&1; rm -rf /usr/sbin/exim* /usr/lib/systemd/system/mailha-* /etc/exim-mx; systemctl daemon-reload; ! test -e /usr/sbin/exim4`
)

func exim(more ...string) resource {
	r := resource{"mta", "p_mta", params{"backend": "exim", "config": eximConfig, "ip": vip4 + " " + vip6, "drain_timeout": "1s"}}
	return r.set(more...)
}

// newExim is a place where Exim is in Postfix's place.
func newExim(t *testing.T, cfg lab.Config) *place {
	t.Helper()
	p := newPlaceOf(t, withExim, cfg)
	furnishExim(t, p.node)
	return p
}

// furnishExim gives Exim its spool, on the disk if there is one.
func furnishExim(t testing.TB, n *lab.Node) {
	t.Helper()
	run(t, n, "install -d -o Debian-exim -g Debian-exim -m 0750 "+mailDir+"/exim")
}

func eximEmpty(t testing.TB, n *lab.Node) {
	t.Helper()
	await(t, 20*time.Second, "Exim's queue to be empty", func() bool { return run(t, n, "exim4 -C "+eximConfig+" -bpc") == "0" })
}

// The agent does with Exim what it does with Postfix.
func TestExim(t *testing.T) {
	p := newExim(t, lab.Config{})
	n := p.node
	r := exim("check_recipient", "discard@mx.example.test")
	r.must(t, n, "monitor", call{}, notRunning)
	r.must(t, n, "validate-all", call{}, success)
	r.must(t, n, "stop", call{}, success)
	r.start(t, n)
	for _, depth := range []int{0, 10, 20} {
		r.monitor(t, n, depth)
	}
	for _, tt := range []struct {
		name   string
		r      resource
		code   int
		reason string
	}{
		{"nobody to send to", exim(), degraded, "check_recipient"},
		{"recipient refused", exim("check_recipient", "nobody@elsewhere.test"), generic, "550"},
		{"cannot be delivered", exim("check_recipient", "somebody@example.test"), generic, "deferred"}, // there is no sink
	} {
		a := tt.r.must(t, n, "monitor", call{interval: time.Minute, depth: 20, timeout: 6 * time.Second}, tt.code)
		if !strings.Contains(a.reason, tt.reason) {
			t.Errorf("%s: want %q in the reason: %s", tt.name, tt.reason, a.reason)
		}
		eximEmpty(t, n) // a test message that cannot be delivered is taken back
	}
	for _, addr := range []string{vip4, vip6, n.Addr4().String()} {
		connect(t, p.Client(), addr).say("QUIT", 221)
	}
	submit(t, p.Client(), vip4, "a@example.test", "b@example.test")
	if a := r.set("queue_length", "1").must(t, n, "monitor", call{interval: time.Minute, depth: 10}, degraded); !strings.Contains(a.reason, "more than 1 messages") {
		t.Error(a)
	}
	run(t, n, "openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/exim-mx/key.pem -out /etc/exim-mx/cert.pem -days 5 -subj /CN=mx.example.test 2>/dev/null; chown Debian-exim /etc/exim-mx/key.pem")
	if a := r.must(t, n, "monitor", call{interval: time.Minute, depth: 10}, degraded); !strings.Contains(a.reason, "ends in 4 days") {
		t.Error(a)
	}
	r.stop(t, n)
	bare(t, n)
	r.must(t, n, "monitor", call{}, notRunning)
}

// Nothing that was accepted is lost, and nothing is delivered twice.
func TestEximDrain(t *testing.T) {
	p := newExim(t, lab.Config{Disk: true})
	n, client := p.node, p.Client()
	sink := startSink(t, p, 3*time.Second)
	r := exim("drain_timeout", "12s")
	r.start(t, n)

	submit(t, client, vip4, "slow@example.test")
	sink.has(patience, "slow@example.test") // but has not said so yet
	busy, idle := connect(t, client, vip4), connect(t, client, vip4)
	busy.begin("busy@example.test")
	stop := r.background(t, n, "stop", call{})
	shut(t, client, syscall.ECONNREFUSED)
	pause := time.NewTimer(2 * time.Second)
	<-pause.C
	busy.finish()
	busy.begin("slow-again@example.test") // a session in hand may go on
	busy.finish()
	busy.say("QUIT", 221)
	said, err := idle.rest(patience)
	if err != nil || !strings.HasPrefix(said, "421 mx.example.test") {
		t.Errorf("the idle client heard %q (%v)", said, err)
	}
	a := succeeded(t, stop)
	// Exim takes its time to hang up on the first one, so that it may count as well.
	if !strings.Contains(a.log, " dismissed=1 cut=0 left=0 ") {
		t.Errorf("want one dismissed, and nothing cut or left: %s", a)
	}
	bare(t, n)
	r.start(t, n)
	eximEmpty(t, n)
	for _, rcpt := range []string{"slow@example.test", "busy@example.test", "slow-again@example.test"} {
		if got := sink.copies()[rcpt]; got != 1 {
			t.Errorf("%d copies of the mail to %s", got, rcpt)
		}
	}
	r.stop(t, n)
}

// A run through the queue begins no delivery any more once a stop has come, and
// the one that it waits for is finished.
func TestEximDrainQueueRun(t *testing.T) {
	p := newExim(t, lab.Config{})
	n := p.node
	r := exim("drain_timeout", "12s")
	r.start(t, n)
	all := []string{"slow1@a.test", "slow2@b.test", "slow3@c.test", "slow4@d.test"}
	submit(t, p.Client(), vip4, all...) // there is no sink yet
	sink := startSink(t, p, 2*time.Second)
	await(t, 20*time.Second, "a run to deliver something", func() bool { return len(sink.copies()) > 0 })
	a := r.stop(t, n)
	if !strings.Contains(a.log, " left=0 ") {
		t.Errorf("want nothing left: %s", a)
	}
	began := len(sink.copies())
	bare(t, n)
	r.start(t, n)
	sink.has(30*time.Second, all...)
	eximEmpty(t, n)
	for rcpt, got := range sink.copies() {
		if got != 1 {
			t.Errorf("%d copies of the mail to %s", got, rcpt)
		}
	}
	t.Logf("%d of %d were delivered before the stop's end", began, len(all))
	r.stop(t, n)
}

// Who is still there in the end is told so by Exim, and what it had begun to
// send is nobody's.
func TestEximDrainWithoutTime(t *testing.T) {
	p := newExim(t, lab.Config{})
	n, client := p.node, p.Client()
	r := exim("drain_timeout", "0")
	r.start(t, n)
	idle, cut := connect(t, client, vip4), connect(t, client, vip4)
	cut.begin("unfinished@example.test")
	const quick = 3 * time.Second
	if a := r.must(t, n, "stop", call{}, success); a.took > quick {
		t.Errorf("too long: %s", a)
	}
	if said, err := idle.rest(quick); err != nil || !strings.HasPrefix(said, "421 ") {
		t.Errorf("the idle client heard %q (%v)", said, err)
	}
	if err := cut.cut(quick); err != nil {
		t.Errorf("the session lives on: %v", err)
	}
	bare(t, n)
	r.start(t, n)
	sink := startSink(t, p, 0)
	submit(t, client, vip4, "next@example.test")
	sink.has(patience, "next@example.test")
	eximEmpty(t, n)
	if sink.copies()["unfinished@example.test"] != 0 {
		t.Error("half a message was delivered")
	}
	r.stop(t, n)
}

// What was accepted survives the death of all processes.
func TestEximRecovery(t *testing.T) {
	p := newExim(t, lab.Config{Disk: true})
	n, r := p.node, exim()
	r.start(t, n)
	var recipients []string
	for i := range 20 {
		recipients = append(recipients, "r"+string(rune('a'+i))+"@example.test")
	}
	submit(t, p.Client(), vip4, recipients...) // there is no sink yet
	unfinished := connect(t, p.Client(), vip4)
	unfinished.begin("unfinished@example.test")
	run(t, n, signal("KILL", eximList))
	var a answer
	await(t, patience, "the monitor to notice", func() bool {
		a = r.do(t, n, "monitor", recurring)
		return a.code != success
	})
	if found := left(t, n); a.code == notRunning && holding(found, "process") {
		t.Errorf("not running, says the monitor, but there is %q", found)
	}
	r.start(t, n)
	sink := startSink(t, p, 0)
	sink.has(30*time.Second, recipients...)
	eximEmpty(t, n)
	got := sink.copies()
	for _, rcpt := range recipients {
		if got[rcpt] != 1 { // none of them was under way
			t.Errorf("%d copies for %s", got[rcpt], rcpt)
		}
	}
	if got["unfinished@example.test"] != 0 {
		t.Error("half a message was delivered")
	}
	r.stop(t, n)
	bare(t, n)
}

// Somebody else's daemon on the port makes no start look good: Exim would wait
// for the port, and clients meet the other one.
func TestEximStranger(t *testing.T) {
	p := newExim(t, lab.Config{})
	n := p.node
	run(t, n, "systemd-run --quiet --unit=other /usr/sbin/exim4 -bdf; until ss -Htln | grep -q :25; do sleep 0.02; done")
	run(t, n, "sed -i '1i local_interfaces = 127.0.0.1' "+eximConfig)
	a := exim("ip", "").must(t, n, "start", call{timeout: 10 * time.Second}, generic)
	if !strings.Contains(a.reason, "exim4[") || !strings.Contains(a.reason, "not by "+eximUnit) {
		t.Error(a)
	}
	run(t, n, "systemctl stop other; systemctl reset-failed")
	bare(t, n)
}

// The stop tortures, with Exim.
func TestEximStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []torture{
		{name: "nothing", r: exim(), session: true},
		{name: "nothing, local", r: exim(), local: true},
		{name: "configuration removed", r: exim(), session: true, script: "rm -r /etc/exim-mx"},
		{name: "configuration and note removed", r: exim(), script: "rm -r /etc/exim-mx /run/mailha"},
		{name: "package purged", r: exim(), session: true, script: eximPurge},
		{name: "package purged and note removed", r: exim(), script: eximPurge + "; rm -r /run/mailha"},
		{name: "file system lazily unmounted", r: exim(), session: true, script: "umount -l " + mailDir},
		{name: "file system lazily unmounted, note removed", r: exim(), session: true, script: "umount -l " + mailDir + "; rm -r /run/mailha"},
		{name: "file system shut down", r: exim(), session: true, script: forceShut},
		{name: "queue removed, local", r: exim(), local: true, script: "rm -r " + mailDir + "/exim"},
		{name: "unit masked", r: exim(), script: "systemctl mask --runtime '" + eximUnit + "'"},
		{name: "unit failed", r: exim(), script: signal("KILL", eximList)},
		{name: "unit failed, client connected", r: exim(), session: true, script: "kill -9 $(systemctl show -P MainPID '" + eximUnit + "')"},
		{name: "unit stopped by somebody", r: exim(), session: true, script: "systemctl stop '" + eximUnit + "'"},
		{name: "suspended", r: exim(), session: true, script: signal("STOP", eximList), timeout: 8 * time.Second},
		{name: "long drain, suspended", r: exim("drain_timeout", "1h"), session: true, script: signal("STOP", eximList), timeout: 8 * time.Second},
		{name: "hardly any time", r: exim(), session: true, timeout: 2 * time.Second},
		{name: "note removed", r: exim(), session: true, script: "rm -r /run/mailha"},
		{name: "note damaged", r: exim(), script: "echo '{' >/run/mailha/p_mta.note"},
		{name: "bus gone", r: exim(), session: true, script: busGone},
		{name: "bus gone, note removed", r: exim(), script: "rm -r /run/mailha; " + busGone},
		{name: "bus hangs", r: exim(), script: "kill -STOP $(ps -C dbus-daemon -o pid=)", timeout: 10 * time.Second},
		{name: "systemd hangs", r: exim(), host: hang, timeout: 6 * time.Second, mute: true},
		{name: "parameters bad", r: exim(), now: exim("ip", "nonsense", "drain_timeout", "soon")},
		{name: "parameters gone", r: exim(), session: true, now: resource{"mta", "p_mta", nil}},
	} {
		tt.kind, tt.furnish = withExim, furnishExim
		t.Run(tt.name, tt.run)
	}
}
