// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// The queue of a server that was no cluster comes along as docs/mailhad.md says, also to
// nodes that know its owners by other numbers.
func TestQueueOfAFormerServer(t *testing.T) {
	p := newPlace(t, lab.Config{Disk: true})
	n, r := p.node, mta()
	const queue = mailDir + "/queue"
	for round, numbers := range []string{"the same", "other"} {
		t.Run(numbers+" numbers", func(t *testing.T) {
			var recipients []string
			for i := range 8 {
				recipients = append(recipients, fmt.Sprintf("former%d.%d@example.test", round, i))
			}
			run(t, n, `postconf -e 'relayhost = [`+sinkAddr+`]' defer_transports=smtp inet_interfaces=loopback-only maillog_file=/var/log/former.log
				postfix start 2>/dev/null
				for to in `+strings.Join(recipients, " ")+`; do echo hello | sendmail -f sender@example.test "$to"; done`)
			await(t, patience, "all to be in the former queue", func() bool {
				return run(t, n, "find /var/spool/postfix/deferred -type f | wc -l") == fmt.Sprint(len(recipients))
			})
			run(t, n, `postfix stop 2>/dev/null
				tar -C /var/spool/postfix --exclude=./pid --exclude=./private --exclude=./public -c . | tar -C `+queue+` --numeric-owner -x
				find /var/spool/postfix/deferred /var/spool/postfix/defer -type f -delete`)
			if numbers == "other" {
				run(t, n, `find `+queue+` -user postfix -exec chown 4711 {} +`)
				if a := r.must(t, n, "start", call{}, generic); !strings.Contains(a.reason, "belongs to user number 4711") {
					t.Errorf("want who the queue belongs to in the reason: %s", a)
				}
				r.stop(t, n)
				run(t, n, "postfix -c "+configDir+" set-permissions")
			}
			r.start(t, n)
			sink := startSink(t, p, 0)
			sink.has(30*time.Second, recipients...)
			empty(t, n)
			for rcpt, copies := range sink.copies() {
				if copies != 1 {
					t.Errorf("%d copies for %s", copies, rcpt)
				}
			}
			r.stop(t, n)
			bare(t, n)
		})
	}
}
