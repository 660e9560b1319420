// SPDX-License-Identifier: Apache-2.0

package rival

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// Mailhad is this project's own daemon.
type Mailhad struct {
	ground *Ground
	lease  time.Duration
	fences bool
	busy   bool // each node has something, so that etcd is led by one that has
}

// group is what moves.
const group = "mail"

// Mailhads are mailhad with its default lease and with the least, and with a fence device:
// then also where the node that is lost leads etcd.
func Mailhads(g *Ground) []Rival {
	const usual, least = 10 * time.Second, 2 * time.Second
	return []Rival{&Mailhad{ground: g, lease: usual}, &Mailhad{ground: g, lease: least}, &Mailhad{ground: g, lease: usual, fences: true}, &Mailhad{ground: g, lease: usual, fences: true, busy: true}}
}

// power is a fence device that cuts the power of the lab's nodes; members of etcd notice
// soon that one is lost.
const power = `
[[fence]]
name = "power"
agent = "fence_lab"
nodes = ["node1", "node2", "node3"]
action = "off"
timeout = "5s"
verify = "10ms"
`

// MailhadConfig is a configuration of three nodes with the groups and resources given.
func MailhadConfig(g *Ground, lease time.Duration, groups string) string {
	var b strings.Builder
	// As often as a benchmark has it move.
	fmt.Fprintf(&b, "[cluster]\nname = \"bench\"\nlease = %q\nmax_moves = 0\nmax_fencings = 0\n", lease)
	for _, n := range g.Lab.Nodes() {
		fmt.Fprintf(&b, "[[node]]\nname = %q\naddress = %q\n", n.Name(), n.Addr4())
	}
	if !strings.Contains(groups, "[[fence]]") {
		// Two elections fit into the least lease.
		return b.String() + "[etcd]\nheartbeat = \"100ms\"\nelection = \"700ms\"\n" + groups
	}
	return b.String() + "[etcd]\nheartbeat = \"20ms\"\nelection = \"200ms\"\n" + groups
}

const warmMTA = `
[[group]]
name = "` + group + `"
threshold = 1000

[[resource]]
name = "p_vip"
kind = "vip"
group = "` + group + `"
[resource.params]
ip = ["` + Address + `"]

[[resource]]
name = "p_mta"
kind = "mta"
group = "` + group + `"
standby = "warm"
[resource.params]
config_dir = "/etc/postfix-mx"
`

// guests are groups that keep each node busy.
func guests(g *Ground) string {
	var b strings.Builder
	for i, n := range g.Lab.Nodes() {
		fmt.Fprintf(&b, `
[[group]]
name = "guest%[1]d"
nodes = [%[2]q]
failback = "immediate"

[[resource]]
name = "p_guest%[1]d"
kind = "vip"
group = "guest%[1]d"
[resource.params]
ip = ["10.77.0.%[3]d"]
`, i+1, n.Name(), 60+i)
	}
	return b.String()
}

// Name is that of [Rival].
func (m *Mailhad) Name() string {
	if m.busy {
		return "mailhad, fencing, etcd's leader lost"
	}
	if m.fences {
		return "mailhad, fencing"
	}
	return fmt.Sprintf("mailhad, lease %.0f s", m.lease.Seconds())
}

// Fences says whether it has a fence device.
func (m *Mailhad) Fences() bool { return m.fences }

// LosesLeader says whether the node that is lost leads etcd.
func (m *Mailhad) LosesLeader() bool { return m.busy }

// Ground is that of [Rival].
func (m *Mailhad) Ground() *Ground { return m.ground }

// Enter is that of [Rival].
func (m *Mailhad) Enter(ctx context.Context) error {
	groups := warmMTA
	if m.fences {
		groups = power + warmMTA
	}
	if m.busy {
		groups += guests(m.ground)
	}
	if err := m.Run(ctx, MailhadConfig(m.ground, m.lease, groups)); err != nil || !m.fences {
		return err
	}
	return m.acquainted(ctx)
}

// Run has the cluster, which is formed if there is none, run a configuration.
func (m *Mailhad) Run(ctx context.Context, config string) error {
	first := m.ground.Lab.Nodes()[0]
	const next = "/root/next.toml"
	if err := first.Push(next, []byte(config), 0o600); err != nil {
		return err
	}
	active, err := first.Exec(ctx, "systemctl", "is-active", "mailhad")
	if err != nil {
		return err
	}
	if active.ExitCode != 0 {
		err = scenario.FormMailhad(ctx, m.ground.Lab, config)
	} else {
		err = m.replace(ctx, first, next)
	}
	if err != nil {
		return err
	}
	return m.settled(ctx)
}

// replace has the running cluster take a new file. A daemon keeps the lease that it was
// started with: each is started again, one after the other.
func (m *Mailhad) replace(ctx context.Context, at *lab.Node, file string) error {
	if _, err := at.Output(ctx, "mailhactl", "config", "apply", "--yes", file); err != nil {
		return err
	}
	for _, n := range m.ground.Lab.Nodes() {
		if err := m.settled(ctx); err != nil {
			return err
		}
		if _, err := n.Output(ctx, "systemctl", "restart", "mailhad"); err != nil {
			return err
		}
	}
	return nil
}

// Move is that of [Rival].
func (m *Mailhad) Move(ctx context.Context, to *lab.Node) error { return m.MoveGroup(ctx, group, to) }

// MoveGroup has one group go to a node.
func (m *Mailhad) MoveGroup(ctx context.Context, name string, to *lab.Node) error {
	_, err := to.Output(ctx, "mailhactl", "group", "move", name, to.Name())
	return err
}

// Mend is that of [Rival].
func (m *Mailhad) Mend(ctx context.Context, n *lab.Node) error {
	if !n.Running() {
		if err := n.Start(ctx); err != nil {
			return err
		}
		if _, err := n.Output(ctx, "systemctl", "start", "mailhad"); err != nil {
			return err
		}
	}
	if err := m.settled(ctx); err != nil {
		return err
	}
	if _, err := n.Output(ctx, "mailhactl", "failures", "forget", "p_mta"); err != nil {
		return err
	}
	if err := m.settled(ctx); err != nil || !m.fences {
		return err
	}
	return m.acquainted(ctx)
}

// acquainted waits until hearts that have just met know how steadily they beat, and
// etcd is led from a node that has nothing: until then a silence is believed later. Where
// each node has something, what is measured goes to the one that leads.
func (m *Mailhad) acquainted(ctx context.Context) error {
	const takes = 12 * time.Second
	if m.busy {
		leader, err := m.leader(ctx)
		if err != nil {
			return err
		}
		if err := m.Move(ctx, leader); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
		return nil
	}
}

// leader is the node that leads etcd.
func (m *Mailhad) leader(ctx context.Context) (*lab.Node, error) {
	nodes := m.ground.Lab.Nodes()
	out, err := nodes[0].Output(ctx, "mailhactl", "cluster", "members", "--output", "json")
	if err != nil {
		return nil, err
	}
	var all []struct{ Name, State string }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		for _, one := range all {
			if one.Name == n.Name() && one.State == "leader" {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("nobody leads etcd: %s", out)
}

// settled waits until every node is present and everything runs.
func (m *Mailhad) settled(ctx context.Context) error {
	return poll(ctx, func() error {
		for _, n := range m.ground.Lab.Nodes() {
			out, err := n.Output(ctx, "mailhactl", "status", "--output", "json")
			if err != nil {
				return err
			}
			var st api.Status
			if err := json.Unmarshal([]byte(out), &st); err != nil {
				return err
			}
			if err := m.unsettled(st); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Mailhad) unsettled(st api.Status) error {
	if st.Stale {
		return errors.New("the state is old")
	}
	for _, n := range st.Nodes {
		if n.State != api.Online {
			return fmt.Errorf("%s is %s", n.Name, n.State)
		}
	}
	for _, g := range st.Groups {
		if g.Phase != "running" {
			return fmt.Errorf("%s is %s: %s", g.Name, g.Phase, g.Why)
		}
		for _, r := range g.Resources {
			if r.Phase != "started" || r.Kind == "mta" && len(r.Warm) != len(st.Nodes)-1 {
				return fmt.Errorf("%s is %s on %s, and up on %v: %s", r.Name, r.Phase, r.Node, r.Warm, r.Detail)
			}
		}
	}
	return nil
}

// Notice is that of [Rival].
func (*Mailhad) Notice() string { return `it has failed.*resource=p_mta` }

// Lease is that of [Rival].
func (m *Mailhad) Lease() time.Duration { return m.lease }

// Versions is that of [Rival].
func (*Mailhad) Versions() []string { return nil }
