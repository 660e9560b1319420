// SPDX-License-Identifier: Apache-2.0

//go:build machines

package labtests

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// pillLimit is the lease and the margin that nodes have by default, and what a sender
// waits more.
const pillLimit = 10500*time.Millisecond + 105*time.Millisecond + 100*time.Millisecond

// graveyard is a virtual machine, which has a watchdog, and two containers, which fence it
// through etcd.
type graveyard struct {
	crew
	ctx     context.Context
	machine *lab.Node
	fencer  *lab.Node        // a container
	cluster *cluster.Cluster // nil: Pacemaker is not there
	units   string           // that the machine runs to be fenced
}

func newGraveyard(t *testing.T, p *place, units string) *graveyard {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	g := &graveyard{crew{t, p.Nodes()}, ctx, p.Nodes()[0], p.Nodes()[1], nil, units}
	// What serves the host's commands was there before systemd, in the root of the control
	// groups. On real machines nothing is.
	if err := g.machine.Push("/etc/systemd/system/lab-group.service", []byte(`[Unit]
Before=mailha-fenced.service
[Service]
Type=oneshot
ExecStart=/bin/sh -euc 'modprobe i6300esb; mkdir -p /sys/fs/cgroup/lab; for p in $(cat /sys/fs/cgroup/cgroup.procs); do ! readlink /proc/$p/exe >/dev/null || echo $p >/sys/fs/cgroup/lab/cgroup.procs; done'
`), 0o644); err != nil {
		t.Fatal(err)
	}
	return g
}

// underPacemaker has Pacemaker fence the machine, through Debian's etcd on all three.
func underPacemaker(t *testing.T) *graveyard {
	p := newPlace(t, lab.Config{Nodes: 3, Machines: 1})
	g := newGraveyard(t, p, "etcd mailha-fenced")
	dir := t.TempDir()
	if out, err := exec.Command("sh", "-euc", certificates, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.runEtcd(dir)
	config, _, _ := strings.Cut(onOwnEtcd, "[[group]]")
	for _, n := range g.nodes {
		if err := n.Push("/etc/mailha/mailha.toml", []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.awake()
	var err error
	if g.cluster, err = cluster.Form(g.ctx, p.Lab, cluster.Options{NoFencing: true, Totem: map[string]string{"token": "5000"}}); err != nil {
		t.Fatal(err)
	}
	g.cluster = g.cluster.Via(g.fencer)
	g.must(g.cluster.Crm(g.ctx, `primitive fence-mailha stonith:fence_mailha op monitor interval=60s timeout=30s
primitive address ocf:mailha:vip params ip=10.77.0.60 op monitor interval=10s
location home address 100: node1
location fences fence-mailha -inf: node1
property stonith-enabled=true stonith-timeout=60s`))
	g.until("the address to be on the machine", func() bool { return g.holds(g.machine) })
	return g
}

func (g *graveyard) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *graveyard) until(what string, ok func() bool) {
	g.t.Helper()
	await(g.t, 3*time.Minute, what, ok)
}

// awake has the machine be one that can be asked to end.
func (g *graveyard) awake() {
	g.t.Helper()
	g.on(g.machine, "systemctl daemon-reload; systemctl start lab-group; systemctl start "+g.units+"; cat /sys/class/watchdog/watchdog0/state | grep -q active")
}

func (g *graveyard) holds(n *lab.Node) bool {
	out, err := n.Output(g.ctx, "ip", "addr", "show", "dev", "eth0")
	return err == nil && strings.Contains(out, "10.77.0.60/")
}

func (g *graveyard) boot() string {
	g.t.Helper()
	return strings.TrimSpace(g.on(g.machine, "cat /proc/sys/kernel/random/boot_id"))
}

// comeBack waits until the machine has booted anew, and has it take part.
func (g *graveyard) comeBack(former string) {
	g.t.Helper()
	g.until("another boot", func() bool {
		out, err := g.machine.Output(g.ctx, "cat", "/proc/sys/kernel/random/boot_id")
		return err == nil && strings.TrimSpace(out) != former
	})
	g.must(g.machine.Booted(g.ctx))
	g.awake()
	if g.cluster != nil {
		g.on(g.machine, "systemctl start corosync pacemaker")
		g.must(g.cluster.WaitOnline(g.ctx, g.machine))
	}
	g.until("the address to be back", func() bool { return g.holds(g.machine) })
}

// fenced is how long it took to have the machine fenced and the address elsewhere.
func (g *graveyard) fenced(do func()) (took time.Duration) {
	g.t.Helper()
	began := time.Now()
	do()
	g.until("the address to be elsewhere", func() bool { return g.holds(g.nodes[1]) || g.holds(g.nodes[2]) })
	return time.Since(began)
}

// agentTook is how long the agent took that Pacemaker ran last.
func (g *graveyard) agentTook() time.Duration {
	g.t.Helper()
	var asked, done float64
	for _, n := range g.nodes[1:] {
		out := g.on(n, "journalctl -u pacemaker -o short-unix --no-pager")
		for line := range strings.Lines(out) {
			at, _, _ := strings.Cut(line, " ")
			when, err := strconv.ParseFloat(at, 64)
			switch {
			case err != nil:
			case strings.Contains(line, "perform 'reboot' action targeting node1"):
				asked = max(asked, when)
			case strings.Contains(line, "targeting node1 using fence-mailha returned 0"):
				done = max(done, when)
			}
		}
	}
	if asked == 0 || done < asked {
		g.t.Fatalf("Pacemaker's journal says that the agent was asked at %f and had done it at %f", asked, done)
	}
	return time.Duration((done - asked) * float64(time.Second))
}

// history is what Pacemaker and the agent say of the machine's last end.
func (g *graveyard) history() string {
	return g.on(g.fencer, "stonith_admin --history node1 --verbose 2>&1 | tail -3; journalctl -u pacemaker -o cat --no-pager | grep -E 'is off: ' | tail -1")
}

// Real Pacemaker fences a node through etcd: one that takes the pill, one whose programs all
// stand still, one that is cut off from etcd's majority; and it fences nobody where it has
// no majority itself.
func TestMachineFencedThroughEtcd(t *testing.T) {
	g := underPacemaker(t)

	t.Log("the pill is taken")
	boot := g.boot()
	took := g.fenced(func() { g.on(g.fencer, "stonith_admin --reboot node1 --timeout 60") })
	// Until corosync has a membership without the node, nobody in the cluster hears of it.
	agent := g.agentTook()
	t.Logf("taken: off after %.2f s, the address is elsewhere after %.2f s; %s", agent.Seconds(), took.Seconds(), g.history())
	if agent > pillLimit/2 {
		t.Errorf("a pill that was taken took %s", agent)
	}
	g.comeBack(boot)

	t.Log("all programs of the node stand still")
	boot = g.boot()
	took = g.fenced(func() { g.freezePrograms() })
	t.Logf("frozen: the address is elsewhere after %.2f s; %s", took.Seconds(), g.history())
	if took < pillLimit {
		t.Errorf("a node that says nothing was replaced after %s, sooner than its watchdog is sure to act", took)
	}
	g.comeBack(boot)

	t.Log("the node is cut off from the others, and from etcd's majority")
	boot = g.boot()
	reset := g.resets()
	took = g.fenced(func() { g.must(g.machine.Isolate(g.ctx)) })
	at := <-reset
	t.Logf("cut off: the address is elsewhere after %.2f s; %s", took.Seconds(), g.history())
	if at.IsZero() || at.After(time.Now()) {
		t.Error("the machine was not reset")
	}
	g.must(g.machine.MendLink(g.ctx))
	g.comeBack(boot)

	t.Log("etcd has no majority")
	boot = g.boot()
	g.on(g.nodes[2], "systemctl stop etcd")
	g.on(g.machine, "systemctl kill --signal=STOP etcd") // and mailha-fenced has to end its node for it
	out := g.fails(g.fencer, "fence_mailha -o off -n node1 --power-timeout 20 2>&1")
	t.Logf("no majority: %s", strings.TrimSpace(out))
	g.on(g.nodes[2], "systemctl start etcd")
	g.comeBack(boot)
}

// freezePrograms stops each program of the machine but what serves the host.
func (g *graveyard) freezePrograms() {
	g.t.Helper()
	g.on(g.machine, `for p in $(ps -eo pid=,comm= | awk '$2 ~ /^(corosync|pacemaker|mailha-fenced|mailhad|etcd)/ {print $1}'); do kill -STOP $p; done`)
}

// resets tells when the machine is reset.
func (g *graveyard) resets() <-chan time.Time {
	g.t.Helper()
	monitor, err := g.machine.Monitor(g.ctx)
	g.must(err)
	at := make(chan time.Time, 1)
	go func() {
		defer monitor.Close()
		ctx, cancel := context.WithTimeout(g.ctx, time.Minute)
		defer cancel()
		e, err := monitor.Await(ctx, "WATCHDOG", "RESET")
		if err != nil {
			g.t.Errorf("the machine was not reset: %v", err)
		}
		at <- e.At
	}()
	return at
}
