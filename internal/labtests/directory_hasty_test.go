// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/ldap"
)

// Clients that connect again at once while the promoted role leaves are refused, or
// served, but never left with a question that nobody answers: they would wait for it as
// long as they have patience. Those on the node of another replica are no exception.
func TestDirectoryLeavesNobodyWaiting(t *testing.T) {
	p := newReplicas(t, 2)
	n, other, r := p.node, p.Nodes()[1], directory()
	p.start(r)
	run(t, other, `for i in 1 2 3; do
	while ! test -e /root/over; do
		timeout 5 ldapsearch -x -o nettimeout=1 -H ldap://`+vip4+` -s base -b '' 1.1 || test $? != 124 || echo waiting >>/root/waiting
	done &
done >/dev/null 2>&1`)
	const rounds, clients = 15, 6
	for range rounds {
		r.must(t, n, "promote", call{}, success)
		var all sync.WaitGroup
		var served atomic.Int64
		over := make(chan struct{})
		for range clients {
			all.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					if err := p.ask(); err == nil {
						served.Add(1)
					} else if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("left waiting: %v", err)
					}
				}
			})
		}
		await(t, patience, "clients to be served", func() bool { return served.Load() > 5*clients })
		r.must(t, n, "demote", call{}, success)
		close(over)
		all.Wait()
	}
	run(t, other, "touch /root/over")
	await(t, patience, "the other node's clients to end", func() bool { return len(pids(t, other, "ldapsearch")) == 0 })
	if waited := run(t, other, "cat /root/waiting 2>/dev/null || true"); waited != "" {
		t.Errorf("left waiting on the node of another replica: %d times", len(strings.Fields(waited)))
	}
	for _, n := range p.Nodes() {
		r.stop(t, n)
		bare(t, n)
	}
}

// ask binds in a session of its own. That there is nobody to connect to is an error,
// but no [os.ErrDeadlineExceeded].
func (p replicas) ask() error {
	var s *ldap.Session
	err := p.Client().Do(func() (err error) {
		s, err = ldap.Dialer{To: vip4 + ":389", ConnectTimeout: 300 * time.Millisecond, ReplyTimeout: patience}.Open(p.t.Context())
		return err
	})
	if err != nil {
		return errors.New(err.Error())
	}
	defer s.Close()
	_, err = s.Bind(p.t.Context(), writerDN, writerPassword)
	return err
}
