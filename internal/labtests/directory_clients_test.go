// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic/ending"
)

// Clients that want nothing at the moment are told to go when the address does,
// rather than left with a connection that leads nowhere. Where there is TLS nobody
// but the server could tell them, and they see the connection end.
func TestDirectoryDismisses(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	for name, plain := range map[string]bool{"plain": true, "with TLS": false} {
		t.Run(name, func(t *testing.T) {
			p := replicas{p.place, t}
			for i, n := range p.Nodes() {
				furnishReplica(t, n, i+1, 2)
				if plain {
					run(t, n, `sed -i '/^olcTLS/d' `+ldapConfig+`/cn=config.ldif; sed -i 's/ldaps:\/\/\/ //' `+ldapConfig+`.env`)
				}
			}
			r := directory()
			p.start(r)
			for _, action := range []string{"demote", "stop"} {
				r.must(t, one, "promote", call{}, success)
				var idle []interface{ Close() }
				ended := make(chan error, 3)
				for range cap(ended) {
					s := p.session(vip4)
					idle = append(idle, s)
					if refusal, err := s.Bind(t.Context(), writerDN, writerPassword); err != nil || refusal != "" {
						t.Fatalf("bind: %s, %v", refusal, err)
					}
					go func() {
						m, open := <-s.Unasked()
						ended <- s.Ended(m, open)
					}()
				}
				began := time.Now()
				a := r.must(t, one, action, call{}, success)
				if !strings.Contains(a.log, "dismissed=3 cut=0") {
					t.Errorf("%s: %s", action, a)
				}
				for range cap(ended) {
					select {
					case err := <-ended:
						if plain && !errors.Is(err, ending.ErrAnnounced) || !plain && !errors.Is(err, io.EOF) {
							t.Errorf("%s: the session ended with %v", action, err)
						}
					case <-time.After(patience):
						t.Fatalf("%s: a session did not end", action)
					}
				}
				t.Logf("%s: all were told within %s", action, time.Since(began).Round(time.Millisecond))
				for _, s := range idle {
					s.Close()
				}
				if action == "stop" {
					bare(t, one)
				}
			}
			r.stop(t, two)
			bare(t, two)
		})
	}
}

// Whatever an operation that was killed leaves behind, a monitor does not overlook
// it, and the next operation goes on from there.
func TestDirectoryCutOff(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory("drain_timeout", "15s")
	p.start(r)
	for _, tt := range []struct {
		action, signal string
		when           string // a condition on the node
		next           string
	}{
		{"demote", "KILL", "nft list tables | grep -q gate", "demote"},
		{"demote", "TERM", "nft list tables | grep -q gate", "demote"},
		{"demote", "KILL", "nft list tables | grep -q gate", "stop"},
		{"demote", "KILL", "nft list tables | grep -q gate", "promote"},
		{"stop", "KILL", "nft list tables | grep -q gate", "stop"},
		{"promote", "KILL", "ip addr show eth0 | grep -q " + vip4, "promote"},
		{"promote", "KILL", "ip addr show eth0 | grep -q " + vip4, "demote"},
		{"promote", "KILL", "ip addr show eth0 | grep -q " + vip4, "stop"},
	} {
		t.Run(tt.action+" "+tt.signal+" "+tt.next, func(t *testing.T) {
			p := replicas{p.place, t}
			r.start(t, one)
			if tt.action != "promote" {
				r.must(t, one, "promote", call{}, success)
				// A change that the other does not get keeps the drain waiting.
				deafen(t, two, one)
				p.written(vip4, "cut-"+tt.action+tt.signal+tt.next)
			}
			ear := listen(t, p.Client())
			done := make(chan lab.Result, 1)
			go func() {
				argv := []string{"env", "OCF_RESOURCE_INSTANCE=" + r.name, agentsDir + r.agent, tt.action}
				for name, value := range r.set("probe_wait", "2s").params {
					argv = append(argv, name+"="+value)
				}
				res, _ := one.Exec(t.Context(), argv...)
				done <- res
			}()
			if tt.action == "promote" {
				// It probes for its addresses. When it has them, it waits for a server that
				// does not answer any more.
				ear.asked(t, netip.MustParseAddr(vip4), patience)
				run(t, one, suspendLDAP)
			}
			await(t, patience, tt.when, func() bool { return run(t, one, "if "+tt.when+"; then echo yes; fi") == "yes" })
			run(t, one, "kill -"+tt.signal+" $(pidof directory mailha-ocf) 2>/dev/null || true")
			if res := <-done; tt.action == "promote" && res.ExitCode == success {
				t.Errorf("was not cut off: %s", res.Stderr)
			}
			run(t, one, "kill -CONT $(pidof slapd)")
			for _, c := range []call{{}, recurring} {
				if a := r.do(t, one, "monitor", c); a.code == notRunning || a.code == success {
					t.Errorf("half of it is here, says nobody: %s", a)
				}
			}
			if tt.action != "promote" {
				undeafen(t, two)
			}
			r.must(t, one, tt.next, call{}, success)
			switch tt.next {
			case "promote":
				role(t, r, one, runningPromoted)
				p.written(vip4, "after-"+tt.action)
				r.must(t, one, "demote", call{}, success)
			case "demote":
				role(t, r, one, success)
				p.refused(one.Addr4().String(), "x")
			case "stop":
				bare(t, one)
			}
			r.start(t, one)
			r.must(t, two, "monitor", recurring, success)
		})
	}
}
