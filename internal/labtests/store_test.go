// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
)

//go:embed dovecot.sh
var dovecot []byte

// What dovecot.sh calls things.
const (
	storeConfig = "/etc/dovecot-mail"
	storeUnit   = `mailha-dovecot@etc-dovecot\x2dmail.service`
	storeDir    = mailDir + "/store"
	storeMarker = storeDir + "/.mailha-store"
	makeStore   = "install -d -o vmail -g vmail " + storeDir + "; touch " + storeMarker + "; "
)

// newStore is a place whose nodes have a message store, and whose first node has
// the mailboxes: on the disk, if there is one, or on its own.
func newStore(t *testing.T, cfg lab.Config) *place {
	t.Helper()
	p := newPlaceOf(t, withStore, cfg)
	furnishStore(t, p.node)
	return p
}

// furnishStore makes a node the one that has the mailboxes.
func furnishStore(t testing.TB, n *lab.Node) {
	t.Helper()
	run(t, n, makeStore)
}

// Where the mail file system is not mounted the store is not started, by nobody, and
// no mailbox is made.
func TestStoreNeedsItsMailboxes(t *testing.T) {
	p := newStore(t, lab.Config{Disk: true})
	n, r := p.node, store()
	untouched := func() {
		t.Helper()
		bare(t, n)
		if found := run(t, n, "ls -A "+storeDir+" 2>/dev/null | grep -v '^\\.mailha-' || true"); found != "" {
			t.Errorf("in the mail directory: %q", found)
		}
	}
	refused := func(why string) {
		t.Helper()
		r.must(t, n, "monitor", call{}, notRunning)
		for _, action := range []string{"start", "validate-all"} {
			a := r.must(t, n, action, call{depth: 10}, installed)
			if !strings.Contains(a.reason, why) || !strings.Contains(a.reason, storeDir) {
				t.Errorf("want %q and the directory in the reason: %s", why, a.reason)
			}
		}
		run(t, n, "! systemctl start '"+storeUnit+"' 2>/dev/null")
		untouched()
	}
	run(t, n, "umount "+mailDir)
	refused("is missing")
	// A marker that was made at the wrong time is none.
	run(t, n, makeStore)
	refused("root file system")
	run(t, n, "mount "+lab.DiskPath+" "+mailDir+"; rm "+storeMarker)
	refused("touch " + storeMarker)
	run(t, n, "touch "+storeMarker+"; mount -o remount,ro "+mailDir)
	refused("read-only")
	run(t, n, "mount -o remount,rw "+mailDir)
	// Not by hand either, and not by systemd.
	run(t, n, "! systemctl start '"+storeUnit+"' 2>/dev/null")
	untouched()
	r.start(t, n)
	r.monitor(t, n, 10)
	r.stop(t, n)
	untouched()
}

// What makes the mailboxes vanish is noticed by the next monitor, of any depth, and
// systemd does not start Dovecot again.
func TestStoreLosesItsMailboxes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script, mend, reason string
	}{
		{"marker removed", "rm " + storeMarker, "touch " + storeMarker, "is missing"},
		{"unmounted", "umount -l " + mailDir, "mount " + lab.DiskPath + " " + mailDir, "is missing"},
		{"read-only", "mount -o remount,ro " + mailDir, "mount -o remount,rw " + mailDir, "read-only"},
		{"something mounted over it", "mount -t tmpfs none " + mailDir, "umount " + mailDir, "is missing"},
		{"replaced by a link", "mv " + storeMarker + " " + storeDir + "/x; ln -s x " + storeMarker, "mv " + storeDir + "/x " + storeMarker, "no plain file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newStore(t, lab.Config{Disk: true})
			n, r := p.node, store()
			run(t, n, `mkdir -p /etc/systemd/system/mailha-dovecot@.service.d
				printf '[Service]\nRestart=always\nRestartSec=50ms\n' >/etc/systemd/system/mailha-dovecot@.service.d/restart.conf
				systemctl daemon-reload`)
			r.start(t, n)
			r.monitor(t, n, 0)
			run(t, n, tt.script)
			for _, c := range []call{{}, recurring, {interval: recurring.interval, depth: 10}} {
				if a := r.must(t, n, "monitor", c, generic); !strings.Contains(a.reason, tt.reason) {
					t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
				}
			}
			if tt.reason == "is missing" {
				run(t, n, "kill -9 $(systemctl show -P MainPID '"+storeUnit+"')")
				await(t, patience, "systemd to give up", func() bool {
					return run(t, n, "systemctl show -P AssertResult '"+storeUnit+"'") == "no"
				})
				if got := pids(t, n, "dovecot"); len(got) > 0 {
					t.Errorf("Dovecot runs: %q", got)
				}
			}
			r.must(t, n, "start", call{}, installed)
			r.stop(t, n)
			bare(t, n)
			run(t, n, tt.mend)
			r.start(t, n)
			r.monitor(t, n, 10)
			r.stop(t, n)
			bare(t, n)
		})
	}
}

// One of several protocols that is down is a failure, and is named.
func TestStoreProtocols(t *testing.T) {
	p := newStore(t, lab.Config{})
	n := p.node
	depth10 := call{interval: recurring.interval, depth: 10, timeout: 5e9}
	for _, tt := range []struct {
		name   string
		r      resource
		before string // the start
		spoil  string
		mend   string
		code   int
		reason string
	}{
		{name: "well", r: localStore(), code: success},
		{name: "IMAP gone", r: localStore(), spoil: "doveadm -c " + storeConfig + "/dovecot.conf service stop imap-login", code: generic, reason: "IMAP: dial tcp 10.77.0.50:143"},
		{name: "POP3 gone", r: localStore(), spoil: "doveadm -c " + storeConfig + "/dovecot.conf service stop pop3-login", code: generic, reason: "dial tcp 10.77.0.50:995"},
		{name: "LMTP gone", r: localStore(), spoil: "doveadm -c " + storeConfig + "/dovecot.conf service stop lmtp", code: generic, reason: "LMTP: dial tcp 10.77.0.50:24"},
		{name: "all hang", r: localStore(), spoil: "p=$(pidof dovecot); kill -STOP $p; for i in $p; do until grep -q '^State:.T' /proc/$i/status; do sleep 0.01; done; done", mend: "kill -CONT $(pidof dovecot)", code: generic, reason: "suspended"},
		{name: "certificate ends soon", r: localStore("cert_days", "100"), code: degraded, reason: "ends in 89 days"},
		{name: "certificate does not matter", r: localStore("cert_days", "0"), before: "cd " + storeConfig + "; . /root/certificate.sh; certificate 1", code: success},
		{name: "certificate ends tomorrow", r: localStore(), before: "cd " + storeConfig + "; . /root/certificate.sh; certificate 1", code: degraded, reason: "store.example.test"},
		{name: "no TLS", r: localStore(), before: "sed -i 's/^ssl = .*/ssl = no/' " + storeConfig + "/dovecot.conf", code: success},
		{name: "LMTP on a unix socket", r: localStore(), before: `printf 'service lmtp {\n inet_listener lmtp {\n port = 0\n }\n unix_listener /run/lmtp-of-the-test {\n mode = 0600\n }\n}\n' >>` + storeConfig + "/dovecot.conf",
			spoil: "rm /run/lmtp-of-the-test", code: generic, reason: "/run/lmtp-of-the-test"},
		{name: "IMAP alone, on the address", r: localStore(), before: `sed -i 's/^protocols = .*/protocols = imap/' ` + storeConfig + "/dovecot.conf; echo 'listen = " + vip4 + "' >>" + storeConfig + "/dovecot.conf", code: success},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, n, "sed -n '/^certificate()/,/^}/p; s/^config=/&/p' /root/dovecot.sh >/root/certificate.sh; /root/dovecot.sh; "+tt.before)
			tt.r.start(t, n)
			t.Cleanup(func() {
				run(t, n, "true; "+tt.mend)
				tt.r.stop(t, n)
				bare(t, n)
			})
			if tt.spoil != "" {
				tt.r.must(t, n, "monitor", depth10, success)
				run(t, n, tt.spoil)
			}
			a := tt.r.must(t, n, "monitor", depth10, tt.code)
			if !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
			}
			if tt.name != "all hang" {
				tt.r.monitor(t, n, 0)
			}
		})
	}
}

// Clients are held while the store starts, and each protocol answers when it has
// started.
func TestStoreStart(t *testing.T) {
	p := newStore(t, lab.Config{Disk: true})
	n, r := p.node, store()
	r.start(t, n)
	ports := strings.Fields(run(t, n, "ss -Htln | awk '{print $4}' | sed 's/.*://' | sort -un"))
	if want := []string{"24", "110", "143", "993", "995"}; !slices.Equal(ports, want) {
		t.Errorf("listens on %q, want %q", ports, want)
	}
	const which = "systemctl show --property=MainPID,InvocationID '" + storeUnit + "'"
	before := run(t, n, which)
	r.start(t, n) // a second time
	r.must(t, n, "reload-agent", call{}, success)
	if after := run(t, n, which); before != after {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	r.stop(t, n)
	bare(t, n)
}
