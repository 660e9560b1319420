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
	passwordFile = "/etc/mailha-check"
	makePassword = "install -m 0600 /dev/null " + passwordFile + "; printf 'secret\\n' >" + passwordFile + "; "
)

// A monitor at depth 20 has a message go in and out of a mailbox, and tells what is
// wrong with the store from what is wrong with the test.
func TestStoreTransaction(t *testing.T) {
	p := newStore(t, lab.Config{Disk: true})
	n, client := p.node, p.Client()
	r := store("check_user", "check", "check_password_file", passwordFile)
	const conf = storeConfig + "/dovecot.conf"
	for _, tt := range []struct {
		name   string
		r      resource
		before string // the start
		spoil  string
		mend   string
		code   int
		reason string
	}{
		{name: "well", r: r, code: success},
		{name: "by a master user", r: r.set("check_master", "root of all"), code: success,
			before: `echo 'root of all:secret' >` + storeConfig + `/masters; sed -i '1i passdb {\n driver = passwd-file\n args = scheme=plain ` + storeConfig + `/masters\n master = yes\n}\nauth_username_chars =' ` + conf},
		{name: "LMTP on a unix socket, all with TLS", r: r, code: success,
			before: `printf 'service lmtp {\n inet_listener lmtp {\n port = 0\n }\n}\nservice imap-login {\n inet_listener imap {\n port = 0\n }\n}\n' >>` + conf},

		{name: "disk full", r: r, spoil: fillDisk, mend: "rm " + mailDir + "/full.*", code: degraded, reason: storeDir + " is full"},
		{name: "mailboxes not writable", r: r, spoil: "chown -R root:root " + storeDir + "/check", mend: "chown -R vmail:vmail " + storeDir + "/check", code: generic, reason: "LMTP"},
		{name: "index broken", r: r, spoil: "rm -r " + storeDir + "/check/mail/mailboxes/INBOX/dbox-Mails/*; mkdir " + storeDir + "/check/mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log", mend: "rm -r " + storeDir + "/check", code: generic, reason: "Internal error"},
		{name: "authentication hangs", r: r, spoil: "kill -STOP $(pidof auth)", mend: "kill -CONT $(pidof auth)", code: generic, reason: "in time"},
		{name: "IMAP hangs after the login", r: r, spoil: "chmod 755 /usr/lib/dovecot/imap; mv /usr/lib/dovecot/imap /root/; printf '#!/bin/sh\nsleep 60\n' >/usr/lib/dovecot/imap; chmod 755 /usr/lib/dovecot/imap",
			mend: "mv /root/imap /usr/lib/dovecot/imap", code: generic, reason: "in time"},

		{name: "password wrong", r: r, before: "echo wrong >" + passwordFile, code: degraded, reason: "AUTHENTICATIONFAILED"},
		{name: "password for all to read", r: r, before: "chmod 644 " + passwordFile, code: degraded, reason: "mode 0600"},
		{name: "password missing", r: r, before: "rm " + passwordFile, code: degraded, reason: passwordFile},
		{name: "no such user", r: r.set("check_user", "nobody"), code: degraded, reason: "nobody"},
		{name: "mailbox elsewhere", r: r, before: "sed -i 's,/srv/mail/store/check,/srv/elsewhere,' " + storeConfig + "/users", code: degraded, reason: "/srv/elsewhere"},
		{name: "no LMTP", r: r, before: "sed -i 's/^protocols = .*/protocols = imap pop3/' " + conf, code: degraded, reason: "needs LMTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, n, "/root/dovecot.sh; "+makePassword+tt.before)
			tt.r.start(t, n)
			t.Cleanup(func() {
				run(t, n, "true; "+tt.mend)
				tt.r.stop(t, n)
				bare(t, n)
				run(t, n, "! test -e /srv/elsewhere")
			})
			c := call{interval: time.Minute, depth: 20, timeout: 10 * time.Second}
			if tt.spoil != "" {
				tt.r.must(t, n, "monitor", c, success)
				run(t, n, tt.spoil)
			}
			a := tt.r.must(t, n, "monitor", c, tt.code)
			if tt.name == "disk full" { // which needs no message to be seen
				c.depth = 10
				a = tt.r.must(t, n, "monitor", c, tt.code)
				subjects(t, client, "check", "INBOX")
			}
			if !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
			}
			if log := a.log + run(t, n, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"); strings.Contains(log, "secret") {
				t.Errorf("the password is shown: %s", log)
			}
			if tt.code == success {
				if got := subjects(t, client, "check", "INBOX"); len(got) > 0 {
					t.Errorf("left behind: %q", got)
				}
			}
		})
	}
}

// A test removes what is its own, be it of an earlier one that was cut off, and
// nothing else.
func TestStoreTransactionLeavesOthersAlone(t *testing.T) {
	p := newStore(t, lab.Config{})
	n, client := p.node, p.Client()
	run(t, n, makePassword)
	r := localStore("check_user", "check", "check_password_file", passwordFile)
	r.start(t, n)
	deliver(t, client, "check", "a letter by mistake")
	k := lmtpUntilData(t, client, "check", "left by a test\nX-Mailha-Check: x")
	k.say(".", "250")
	marked := imapSession(t, client, "143", "check")
	marked.say("b SELECT INBOX", "b OK")
	marked.say(`c STORE 1 +FLAGS (\Deleted)`, "c OK")
	for range 2 {
		r.monitor(t, n, 20)
		if got := subjects(t, client, "check", "INBOX"); !slices.Equal(got, []string{"a letter by mistake"}) {
			t.Errorf("left %q", got)
		}
	}
	r.stop(t, n)
	bare(t, n)
}
