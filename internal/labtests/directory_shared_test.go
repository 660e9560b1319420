// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Behind another resource's address a directory takes writes where it is promoted,
// and closes its own ports of that address only, while it hands over.
func TestDirectoryOnSharedAddress(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	v, r := vip("wait_ports", "389 636"), sharing(directory("drain_timeout", "5s"))
	v.start(t, one)
	p.start(r)
	role(t, r, one, success)
	role(t, r, two, success)
	p.refused(vip4, "x")

	r.must(t, one, "promote", call{}, success)
	role(t, r, one, runningPromoted)
	role(t, r, two, success)
	p.written(vip4, "first")
	p.has(two, "first")
	p.refused(two.Addr4().String(), "x")
	if out := run(t, one, "mailha-ocf status"); !strings.Contains(out, "promoted") || strings.Count(out, vip4+","+vip6) != 2 {
		t.Errorf("the status does not show who is promoted, and where:\n%s", out)
	}

	// A change that the other does not get keeps the drain waiting.
	deafen(t, two, one)
	p.written(vip4, "late")
	idle := p.session(vip4)
	defer idle.Close()
	if _, err := idle.Bind(t.Context(), writerDN, writerPassword); err != nil {
		t.Fatal(err)
	}
	demote := r.background(t, one, "demote", call{})
	await(t, patience, "the gate to close", func() bool {
		conn, err := dial(p.Client(), vip4+":389", time.Second)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	// Others still follow it by the node's own address, where it takes writes for a moment longer.
	await(t, patience, "writes to be refused", func() bool {
		return strings.HasPrefix(p.write(one.Addr4().String(), "too-late"), "result 53 ")
	})
	undeafen(t, two)
	if a := succeeded(t, demote); !strings.Contains(a.log, "left=0") || !strings.Contains(a.log, "cut=0") {
		t.Errorf("not handed over: %s", a)
	}
	role(t, r, one, success)
	p.has(two, "late")
	p.refused(vip4, "x")

	// The address moves, and the role after it.
	v.stop(t, one)
	v.start(t, two)
	r.must(t, two, "promote", call{}, success)
	role(t, r, two, runningPromoted)
	p.written(vip4, "second")
	p.has(one, "second")

	// The server itself knows its role when the note is lost.
	run(t, two, "rm -r /run/mailha")
	role(t, r, two, runningPromoted)
	r.stop(t, two)
	role(t, r, two, notRunning)
	// Whoever comes now waits for it.
	if conn, err := dial(p.Client(), vip4+":389", 500*time.Millisecond); !isTimeout(err) {
		t.Errorf("nobody listens: %v, %v, want a timeout", conn, err)
	}
	r.start(t, two)
	r.must(t, two, "promote", call{}, success)
	p.written(vip4, "third")

	r.stop(t, two)
	v.stop(t, two)
	bare(t, two)
	r.stop(t, one)
	bare(t, one)
}
