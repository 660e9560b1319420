// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const degraded = 190 // as Pacemaker knows it

// A monitor at depth 10 tells what does not work from what will soon not.
func TestHealth(t *testing.T) {
	const queueDir = mailDir + "/queue/"
	p := newPlace(t, lab.Config{Disk: true})
	n := p.node
	offerTLS(t, n, 30)
	reload := "; postfix -c " + configDir + " reload 2>/dev/null"
	pair := func(days string) string {
		return "openssl req -x509 -newkey rsa:2048 -nodes -keyout " + configDir + "/key.pem -out " + configDir + "/cert.pem -days " + days + " -subj /CN=mx.example.test 2>/dev/null" + reload
	}
	mta().start(t, n)
	undone := "" // by the case before
	for _, tt := range []struct {
		name        string
		r           resource
		spoil, mend string
		code        int
		reason      string
	}{
		{name: "well", r: mta(), code: success},
		{name: "message that nobody takes up", r: mta(), code: degraded, reason: "should have been tried 2h0m",
			spoil: "kill -STOP $(ps -C qmgr -o pid=)", mend: "postsuper -c " + configDir + " -d ALL 2>/dev/null; kill -CONT $(ps -C qmgr -o pid=)"},
		{name: "certificate ends", r: mta(), spoil: pair("5"), code: degraded, reason: `certificate of "CN=mx.example.test" ends in 4 days`},
		{name: "certificate ends, and that does not matter", r: mta("cert_days", "0"), code: success},
		{name: "certificate has lasted long enough", r: mta("cert_days", "3"), mend: pair("30"), code: success},
		{name: "no certificate", r: mta(), spoil: "mv " + configDir + "/key.pem /root/" + reload, mend: "mv /root/key.pem " + configDir + reload, code: degraded, reason: "454"},
		{name: "longer queue than usual", r: mta("queue_length", "2"), spoil: "install -o postfix -m 0700 /dev/null " + queueDir + "hold/a", code: success, mend: "rm " + queueDir + "hold/a"},
		{name: "file that is no message", r: mta(), spoil: "install -o postfix -m 0700 /dev/null " + queueDir + "corrupt/2ED449A6951", code: degraded, reason: "corrupt/2ED449A6951", mend: "rm " + queueDir + "corrupt/2ED449A6951"},
		// But for what root may still use.
		{name: "file system full", r: mta(), spoil: "chmod 777 " + mailDir + "; setpriv --reuid=nobody --clear-groups dd if=/dev/zero of=" + mailDir + "/fill bs=1M 2>/dev/null || test -s " + mailDir + "/fill", mend: "rm " + mailDir + "/fill", code: generic, reason: "is full"},
		{name: "file system full, without a size to keep", r: mta(), code: generic, reason: "is full",
			spoil: "postconf -c " + configDir + " -e message_size_limit=0 mailbox_size_limit=0" + reload + "; setpriv --reuid=nobody --clear-groups dd if=/dev/zero of=" + mailDir + "/fill bs=1M 2>/dev/null || test -s " + mailDir + "/fill",
			mend:  "rm " + mailDir + "/fill; postconf -c " + configDir + " -X message_size_limit mailbox_size_limit" + reload},
		{name: "queue not writable", r: mta(), spoil: "chown root " + queueDir + "incoming", mend: "chown postfix " + queueDir + "incoming", code: generic, reason: "incoming must belong to postfix"},
		{name: "part of the queue missing", r: mta(), spoil: "mv " + queueDir + "deferred /root/", mend: "mv /root/deferred " + queueDir, code: generic, reason: "incomplete"},
		{name: "master.cf broken", r: mta(), spoil: "cp -a " + configDir + "/master.cf /root/; echo 'smtp inet' >>" + configDir + "/master.cf", mend: "cp -a /root/master.cf " + configDir + "/", code: degraded, reason: "could not be started again"},
		{name: "main.cf broken", r: mta(), spoil: "cp -a " + configDir + "/main.cf /root/; echo 'mail_owner = nobody-of-that-name' >>" + configDir + "/main.cf", mend: "cp -a /root/main.cf " + configDir + "/" + reload, code: degraded, reason: "could not be started again"},
		{name: "main process suspended", r: mta(), spoil: "kill -STOP $(ps -C master -o pid=)", mend: "kill -CONT $(ps -C master -o pid=)", code: generic, reason: "suspended (SIGSTOP)"},
		{name: "file system shut down", r: mta(), spoil: forceShut, code: generic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.spoil != "" {
				run(t, n, tt.spoil)
			}
			if tt.mend != "" {
				t.Cleanup(func() { run(t, n, tt.mend) })
			}
			if strings.HasPrefix(tt.name, "message") {
				submit(t, p.Client(), vip4, "somebody@example.test")
				tt.r.must(t, n, "monitor", call{interval: time.Minute, depth: 10}, success)
				run(t, n, "touch -d '2 hours ago' "+queueDir+"incoming/[0-9A-F]*")
			}
			c := call{interval: time.Minute, depth: 10}
			if strings.Contains(tt.spoil+undone, reload) {
				await(t, patience, "Postfix to have read its configuration", func() bool {
					a := tt.r.do(t, n, "monitor", c)
					return a.code == tt.code && strings.Contains(a.reason, tt.reason)
				})
			}
			undone = tt.mend
			a := tt.r.must(t, n, "monitor", c, tt.code)
			if !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
			}
		})
	}
	mta().must(t, n, "stop", call{}, success)
}

// What cannot be delivered for a while piles up: each message by itself is well.
func TestHealthQueueLength(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	mta().start(t, n)
	submit(t, p.Client(), vip4, "a@example.test", "b@example.test", "c@example.test") // there is no sink
	mta("queue_length", "3").must(t, n, "monitor", call{interval: time.Minute, depth: 10}, success)
	if a := mta("queue_length", "2").must(t, n, "monitor", call{interval: time.Minute, depth: 10}, degraded); !strings.Contains(a.reason, "more than 2 messages") {
		t.Error(a)
	}
	mta().stop(t, n)
}
