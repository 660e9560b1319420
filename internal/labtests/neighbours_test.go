// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Resources on one node keep out of each other's way, whatever they are called.
func TestNeighbours(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	all := []resource{
		mta("drain_timeout", "3s"),
		service("plain.service", "ip", "10.77.0.51"),
		vip("ip", "10.77.0.60 fd77::60").named("p_vip:0"),
		vip("ip", "10.77.0.61 fd77::61").named("p_vip:1"),
		vip("ip", "10.77.0.62 fd77::62").named("p_vip_1"),
		vip("ip", "10.77.0.63 fd77::63").named("p_vip.3a1"),
		vip("ip", "10.77.0.64 fd77::64").named("p_vip"),
	}
	well := func(rs []resource) {
		t.Helper()
		for _, r := range rs {
			r.monitor(t, n, 10)
		}
	}
	for _, r := range all {
		r.start(t, n)
	}
	well(all)
	tables := run(t, n, "nft list tables")

	// While the MTA drains, all others go on letting clients in.
	connect(t, client, vip4)
	stop := all[0].background(t, n, "stop", call{})
	shut(t, client, syscall.ECONNREFUSED)
	for _, to := range []string{"10.77.0.51:7001", "10.77.0.60:25", "[fd77::60]:25", "10.77.0.11:25"} {
		conn, err := dial(client, to, patience)
		if err != nil {
			t.Errorf("while %s drains: %v", all[0].name, err)
			continue
		}
		conn.Close()
	}
	succeeded(t, stop)
	well(all[1:])
	all[0].start(t, n)
	well(all)
	if now := run(t, n, "nft list tables"); sorted(now) != sorted(tables) {
		t.Errorf("tables after a restart:\n%s\nbefore:\n%s", now, tables)
	}

	// Each stop takes away what is its own, and its watch for rivals.
	for len(all) > 0 {
		gone := all[len(all)-1]
		all = all[:len(all)-1]
		gone.stop(t, n)
		gone.must(t, n, "monitor", call{}, notRunning)
		well(all)
		for _, r := range all {
			for addr := range strings.FieldsSeq(r.params["ip"]) {
				if !holding(left(t, n), "address "+addr+"/") {
					t.Errorf("the stop of %s took %s of %s away", gone.name, addr, r.name)
				}
			}
		}
	}
	bare(t, n)
}

// One of two resources that look alike by name sees its rival, and the other none.
func TestNeighboursWatchTheirOwn(t *testing.T) {
	p := newPlace(t, lab.Config{})
	a := vip("ip", "10.77.0.60 fd77::60").named("p_vip:0")
	b := vip("ip", "10.77.0.61 fd77::61").named("p_vip:1")
	a.start(t, p.node)
	b.start(t, p.node)
	rival(t, p, "10.77.0.61")
	// A rival that is slow to answer is seen by a later one.
	await(t, 10*time.Second, "a monitor to fail", func() bool {
		return b.must(t, p.node, "monitor", recurring, generic, success).code == generic
	})
	a.monitor(t, p.node, 0)
	b.stop(t, p.node)
	a.monitor(t, p.node, 0)
	a.stop(t, p.node)
	bare(t, p.node)
}

func sorted(lines string) string {
	list := strings.Split(lines, "\n")
	slices.Sort(list)
	return strings.Join(list, "\n")
}
