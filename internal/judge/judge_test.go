// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

const (
	vip4, vip6 = "10.77.0.50", "fd77::50"
	unit       = "writer.service"
)

// bench is two nodes under a judge's eyes.
type bench struct {
	*lab.Lab
	t *testing.T
	j *judge.Judge
	a *lab.Node
	b *lab.Node
}

func newBench(t *testing.T) *bench {
	l := labtest.Up(t, lab.Config{Nodes: 2, Disk: true})
	own4, own6 := netip.MustParseAddr("10.77.0.102"), netip.MustParseAddr("fd77::102")
	host, err := l.AddHost(t.Context(), "judge", own4, own6)
	if err != nil {
		t.Fatal(err)
	}
	cfg := judge.Config{
		Host: host, Own4: own4, Own6: own6, Disks: []string{lab.DiskPath}, Units: []string{unit},
		Addrs: []netip.Addr{netip.MustParseAddr(vip4), netip.MustParseAddr(vip6)},
	}
	for _, n := range l.Nodes() {
		cfg.Nodes = append(cfg.Nodes, judge.Node{Name: n.Name(), PID: n.LeaderPID})
	}
	j, err := judge.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &bench{Lab: l, t: t, j: j, a: l.Nodes()[0], b: l.Nodes()[1]}
}

func (b *bench) run(n *lab.Node, script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := n.Output(ctx, "sh", "-euc", script); err != nil {
		b.t.Fatal(err)
	}
}

// until waits until the judge has seen a thing with all of the holders since then.
func (b *bench) until(thing judge.Thing, then time.Time, holders ...string) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); ; <-tick.C {
		got := b.j.Holders(thing, then)
		if !slices.ContainsFunc(holders, func(h string) bool { return !slices.Contains(got, h) }) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s %s was seen with %q since %s, want %q", thing.Kind, thing.Name, got, then.Format("15:04:05.000"), holders)
		}
	}
}

// untilDouble waits until the judge has seen something on two nodes. That each was seen
// with it since then is not enough: the one's only look may lie before the other's first.
func (b *bench) untilDouble(then time.Time) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); len(b.j.Since(then).Doubles) == 0; <-tick.C {
		if time.Now().After(end) {
			b.t.Fatalf("planted on two nodes since %s, and the judge saw nothing", then.Format("15:04:05.000"))
		}
	}
}

// A judge that sees nothing is no proof of anything: what is planted must be found, and
// what is in order must not be.
func TestJudgeSeesWhatIsPlanted(t *testing.T) {
	b := newBench(t)
	b.run(b.a, `mkfs.ext4 -q -F -O ^mmp `+lab.DiskPath+`
cat >/run/systemd/system/`+unit+` <<X
[Service]
ExecStart=/usr/bin/sleep infinity
X
systemctl daemon-reload`)
	b.run(b.b, `cat >/run/systemd/system/`+unit+` <<X
[Service]
ExecStart=/usr/bin/sleep infinity
X
systemctl daemon-reload`)
	for _, tt := range []struct {
		thing    judge.Thing
		get, put string
	}{
		{judge.Thing{Kind: judge.Address, Name: vip4}, "ip addr add " + vip4 + "/32 dev eth0", "ip addr del " + vip4 + "/32 dev eth0"},
		{judge.Thing{Kind: judge.Address, Name: vip6}, "ip addr add " + vip6 + "/128 dev eth0 nodad", "ip addr del " + vip6 + "/128 dev eth0"},
		{judge.Thing{Kind: judge.Mount, Name: lab.DiskPath}, "mount " + lab.DiskPath + " /mnt", "umount /mnt"},
		{judge.Thing{Kind: judge.Service, Name: unit}, "systemctl start " + unit, "systemctl stop " + unit},
	} {
		t.Run(string(tt.thing.Kind)+" "+tt.thing.Name, func(t *testing.T) {
			b.t = t
			start := time.Now()
			b.run(b.a, tt.get)
			b.until(tt.thing, start, "node1")
			b.run(b.a, tt.put)
			b.run(b.b, tt.get)
			b.until(tt.thing, start, "node1", "node2")
			if v := b.j.Since(start); len(v.Doubles) > 0 {
				t.Errorf("an orderly change of hands was taken for %s", v.Doubles[0])
			}
			planted := time.Now()
			b.run(b.a, tt.get)
			b.untilDouble(planted)
			b.run(b.b, tt.put)
			b.run(b.a, tt.put)
			v := b.j.Since(planted)
			if n, longest := v.Worst(tt.thing.Kind); n == 0 || longest > time.Since(planted) {
				t.Errorf("planted on two nodes, and the judge saw %d for %s", n, longest)
			}
			for _, d := range v.Doubles {
				if d.Thing != tt.thing || !slices.Contains(d.Holders[:], "node1") || !slices.Contains(d.Holders[:], "node2") {
					t.Errorf("the judge saw %s", d)
				}
				t.Log(d)
			}
		})
	}
}
