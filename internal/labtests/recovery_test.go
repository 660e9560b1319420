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

// What was accepted survives the death of all processes, and the next start
// delivers it.
func TestRecovery(t *testing.T) {
	t.Parallel()
	for _, disk := range []bool{true, false} {
		t.Run(fmt.Sprintf("shared disk %t", disk), func(t *testing.T) {
			p := newPlace(t, lab.Config{Disk: disk})
			n, r := p.node, mta()
			// A clean end, which the next start may have made use of, says nothing of
			// the end after that.
			r.start(t, n)
			r.stop(t, n)
			r.start(t, n)
			run(t, n, "cd "+mailDir+"/queue && test ! -e quick-start && grep -q '.clean.:false' pid/mailha-run")
			var recipients []string
			for i := range 40 {
				recipients = append(recipients, fmt.Sprintf("r%d@example.test", i))
			}
			submit(t, p.Client(), vip4, recipients...) // there is no sink yet
			unfinished := connect(t, p.Client(), vip4)
			unfinished.begin("unfinished@example.test")

			run(t, n, "kill -9 $(ps -C "+daemons+" -o pid=) 2>/dev/null || true") // systemd kills, too
			var a answer
			await(t, patience, "the monitor to notice", func() bool { // as soon as systemd has
				a = r.do(t, n, "monitor", recurring)
				return a.code != success
			})
			if found := left(t, n); a.code == notRunning && slices.ContainsFunc(found, func(line string) bool { return !strings.HasPrefix(line, "note ") }) {
				t.Errorf("not running, says the monitor, but there is %q", found)
			}
			r.start(t, n) // without a stop: what Pacemaker would do first is in its own test
			sink := startSink(t, p, 0)
			sink.has(30*time.Second, recipients...)
			empty(t, n)
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
		})
	}
}

// A monitor at depth 20 follows a message through the queue.
func TestTransaction(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, r := p.node, mta()
	for _, tt := range []struct {
		name   string
		r      resource
		spoil  string
		mend   string
		reason string
	}{
		{name: "well", r: r},
		{name: "queue manager hangs", r: r, spoil: "kill -STOP $(ps -C qmgr -o pid=)", mend: "kill -CONT $(ps -C qmgr -o pid=)", reason: "incoming"},
		{name: "no space for mail", r: r, spoil: "postconf -c " + configDir + " -e queue_minfree=1000000000000; postfix -c " + configDir + " reload", mend: "postconf -c " + configDir + " -X queue_minfree; postfix -c " + configDir + " reload", reason: "452"},
		{name: "recipient refused", r: mta("check_recipient", "nobody@elsewhere.test"), spoil: "postconf -c " + configDir + " -e 'smtpd_recipient_restrictions=check_recipient_access inline:{nobody@elsewhere.test=reject}'; postfix -c " + configDir + " reload", mend: "postconf -c " + configDir + " -X smtpd_recipient_restrictions; postfix -c " + configDir + " reload", reason: "554"},
		{name: "cannot be delivered", r: mta("check_recipient", "somebody@example.test"), reason: "deferred"}, // there is no sink
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.start(t, n)
			t.Cleanup(func() { tt.r.stop(t, n) })
			if tt.spoil != "" {
				run(t, n, tt.spoil)
				t.Cleanup(func() { run(t, n, tt.mend+" || true") })
			}
			c := call{interval: time.Minute, depth: 20, timeout: 5 * time.Second}
			if tt.reason == "" {
				tt.r.must(t, n, "monitor", c, success)
				empty(t, n)
				return
			}
			if a := tt.r.must(t, n, "monitor", c, generic); !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a.reason)
			}
			// It is tried every few minutes, for as long as nobody mends it.
			await(t, 2*time.Second, "the test message to be gone", func() bool {
				return run(t, n, "cd "+mailDir+"/queue && find maildrop incoming active deferred hold corrupt -type f") == ""
			})
		})
	}
}
