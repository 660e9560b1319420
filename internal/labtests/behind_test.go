// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A replica that lacks changes is not promoted, neither while the one that has
// them lives nor after its death, unless somebody says so.
func TestDirectoryBehind(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory("ip", "") // by hand, both might have the address otherwise
	deep := call{interval: 30 * time.Second, depth: 10}
	p.start(r)
	r.must(t, one, "promote", call{}, success)
	p.written(one.Addr4().String(), "seen")
	p.has(two, "seen")
	r.must(t, two, "monitor", deep, success)

	deafen(t, two, one)
	p.written(one.Addr4().String(), "missed")
	if a := r.must(t, two, "monitor", deep, degraded); !strings.Contains(a.reason, "behind") {
		t.Errorf("the reason does not say what is wrong: %s", a.reason)
	}
	if a := r.must(t, one, "monitor", deep, degradedPromoted); !strings.Contains(a.reason, two.Addr4().String()) {
		t.Errorf("the reason does not say who is behind: %s", a.reason)
	}
	if a := r.must(t, two, "promote", call{timeout: 6 * time.Second}, generic); !strings.Contains(a.reason, "behind") || !strings.Contains(a.reason, "force_promotion=true") {
		t.Errorf("the reason does not say what is wrong and what to do: %s", a.reason)
	}
	p.refused(two.Addr4().String(), "x")

	if err := one.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	refusal := func() {
		t.Helper()
		a := r.must(t, two, "promote", call{}, generic)
		if !strings.Contains(a.reason, one.Addr4().String()) || !strings.Contains(a.reason, "force_promotion=true") {
			t.Errorf("the reason does not say who has the changes and what to do: %s", a.reason)
		}
		if a.took > 5*time.Second {
			t.Errorf("waited for what will not come: %s", a)
		}
	}
	refusal()
	if a := r.must(t, two, "monitor", deep, degraded); !strings.Contains(a.reason, one.Addr4().String()) {
		t.Errorf("the reason does not name the dead replica: %s", a.reason)
	}
	// What was seen of it outlives even this node's own death.
	if err := two.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := two.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.start(t, two)
	refusal()

	forced := directory("ip", "", "force_promotion", "true")
	if a := forced.must(t, two, "promote", call{}, success); !strings.Contains(a.log, "by force") {
		t.Errorf("does not say that it was forced: %s", a)
	}
	r.must(t, two, "monitor", call{interval: 10 * time.Second}, runningPromoted)
	p.written(two.Addr4().String(), "after")

	// The one that was dead comes back with what it alone had, and both get to have
	// all of it.
	if err := one.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.start(t, one)
	p.refused(one.Addr4().String(), "x")
	for _, name := range []string{"seen", "missed", "after"} {
		p.has(one, name)
		p.has(two, name)
	}
	await(t, patience, "both to be well", func() bool {
		return r.do(t, one, "monitor", deep).code == success && r.do(t, two, "monitor", deep).code == runningPromoted
	})
}

// A replica whose data are gone is as far behind as one can be.
func TestDirectoryWithoutData(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory("ip", "")
	p.start(r)
	r.must(t, one, "promote", call{}, success)
	p.written(one.Addr4().String(), "only")
	p.has(two, "only")
	r.must(t, two, "monitor", call{interval: 30 * time.Second, depth: 10}, success)
	r.stop(t, two)
	r.stop(t, one)
	run(t, two, "rm "+ldapData+"/*")
	r.start(t, two)
	if a := r.must(t, two, "promote", call{}, generic); !strings.Contains(a.reason, one.Addr4().String()) {
		t.Errorf("the reason does not name who has the data: %s", a.reason)
	}
	r.start(t, one)
	p.has(two, "only")
	r.must(t, two, "promote", call{}, success)

	// Half a file is found before the server would trip over it.
	r.stop(t, one)
	run(t, one, "cd "+ldapData+"; s=$(stat -c %s data.mdb); truncate -s 20k data.mdb")
	if a := r.must(t, one, "start", call{}, generic); !strings.Contains(a.reason, "is cut off") || !strings.Contains(a.reason, ldapData) {
		t.Errorf("the reason does not say what is damaged: %s", a.reason)
	}
	r.stop(t, one)
	bare(t, one)
	run(t, one, "rm "+ldapData+"/*")
	r.start(t, one)
	p.has(one, "only")
}

// A demote waits for others to have everything, as long as it may, and tells how
// much they lack.
func TestDirectoryHandsOver(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	const drain = 6 * time.Second
	r := directory("drain_timeout", drain.String())
	p.start(r)
	const changes = 5
	missed := func(run int) {
		t.Helper()
		r.must(t, one, "promote", call{}, success)
		deafen(t, two, one)
		for i := range changes {
			p.written(vip4, fmt.Sprintf("missed-%d-%d", run, i))
		}
	}

	missed(1)
	demote := r.background(t, one, "demote", call{})
	await(t, patience, "writes to be refused", func() bool {
		return strings.HasPrefix(p.write(one.Addr4().String(), "x"), "result 53 ")
	})
	undeafen(t, two)
	if a := succeeded(t, demote); !strings.Contains(a.log, "left=0") || a.took > drain {
		t.Errorf("others caught up: %s", a)
	}
	if got := p.count(two, "cn=missed-1-*"); got != changes {
		t.Errorf("handed over %d changes of %d", got, changes)
	}

	missed(2)
	a := r.must(t, one, "demote", call{}, success)
	if want := fmt.Sprintf("left=%d", changes); !strings.Contains(a.log, want) || a.took < drain {
		t.Errorf("others did not catch up, want %s after %s: %s", want, drain, a)
	}
	role(t, r.set("max_lag", "100ms"), one, success)
	p.refused(one.Addr4().String(), "x")

	// With nobody there, there is nobody to wait for.
	r.must(t, one, "promote", call{}, success)
	r.stop(t, two)
	p.written(vip4, "alone")
	if a := r.must(t, one, "stop", call{timeout: time.Minute}, success); a.took > drain || !strings.Contains(a.log, "no other replica can be reached") {
		t.Errorf("waited for nobody: %s", a)
	}
	bare(t, one)
}

// A server that waits for a dead one, which without limits in its configuration it
// does for minutes, does not keep the next one from being promoted.
func TestDirectoryPromotesBesideTheDead(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	run(t, two, `sed -i 's/network-timeout=[0-9]* keepalive=[0-9:]* *//' '`+ldapConfig+`/cn=config/olcDatabase={1}mdb.ldif'`)
	r := directory()
	p.start(r)
	r.must(t, one, "promote", call{}, success)
	p.written(vip4, "first")
	p.has(two, "first")
	r.must(t, two, "monitor", call{interval: 30 * time.Second, depth: 10}, success)
	if err := one.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, two, "ss -K dst "+one.Addr4().String()+" >/dev/null")
	await(t, patience, "the server to wait for the dead one", func() bool {
		return run(t, two, "ss -Htn state syn-sent dst "+one.Addr4().String()) != ""
	})
	const soon = 3 * time.Second
	if a := r.must(t, two, "promote", call{}, success); a.took > soon || !strings.Contains(a.log, "ended the server's wait") {
		t.Errorf("promoted beside a dead replica: %s", a)
	}
	p.written(vip4, "second")
	if a := r.must(t, two, "demote", call{}, success); a.took > 2*soon {
		t.Errorf("demoted beside a dead replica: %s", a)
	}
	r.stop(t, two)
	bare(t, two)
}

// What only follows others runs, and is never promoted.
func TestDirectoryConsumer(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	run(t, two, `sed -i '/^olcMultiProvider/d' '`+ldapConfig+`/cn=config/olcDatabase={1}mdb.ldif'`)
	r := directory()
	p.start(r)
	role(t, r, two, success)
	if a := r.must(t, two, "promote", call{}, args); !strings.Contains(a.reason, "olcMultiProvider") {
		t.Errorf("the reason does not say what is missing: %s", a.reason)
	}
	r.must(t, one, "promote", call{}, success)
	p.written(vip4, "first")
	p.has(two, "first")
	role(t, r, two, success)
	for _, n := range p.Nodes() {
		r.stop(t, n)
		bare(t, n)
	}
}
