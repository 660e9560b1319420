// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// The queue of a server that was no cluster comes along as docs/mailhad.md says.
func TestQueueOfAFormerServer(t *testing.T) {
	p := newPlace(t, lab.Config{Disk: true})
	n, r := p.node, mta()
	var recipients []string
	for i := range 8 {
		recipients = append(recipients, fmt.Sprintf("former%d@example.test", i))
	}
	run(t, n, `postconf -e 'relayhost = [`+sinkAddr+`]' defer_transports=smtp minimal_backoff_time=1s maximal_backoff_time=2s queue_run_delay=1s inet_interfaces=loopback-only maillog_file=/var/log/former.log
		postfix start 2>/dev/null
		for to in `+strings.Join(recipients, " ")+`; do echo hello | sendmail -f sender@example.test "$to"; done`)
	await(t, patience, "all to be in the former queue", func() bool {
		return run(t, n, "find /var/spool/postfix/deferred -type f | wc -l") == fmt.Sprint(len(recipients))
	})
	// postsuper, which gives the files their new names, logs as the user postfix.
	run(t, n, `postfix stop 2>/dev/null
		tar -C /var/spool/postfix --exclude=./pid --exclude=./private --exclude=./public -c . | tar -C `+mailDir+`/queue --numeric-owner -x
		install -o postfix /dev/null /var/log/postfix-mx.log`)
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
}
