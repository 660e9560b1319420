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
}

// group is what moves.
const group = "mail"

// Mailhads are mailhad with its default lease and with the least.
func Mailhads(g *Ground) []Rival {
	return []Rival{&Mailhad{g, 10 * time.Second}, &Mailhad{g, 2 * time.Second}}
}

// MailhadConfig is a configuration of three nodes with the groups and resources given.
func MailhadConfig(g *Ground, lease time.Duration, groups string) string {
	var b strings.Builder
	// As often as a benchmark has it move.
	fmt.Fprintf(&b, "[cluster]\nname = \"bench\"\nlease = %q\nmax_moves = 0\n", lease)
	for _, n := range g.Lab.Nodes() {
		fmt.Fprintf(&b, "[[node]]\nname = %q\naddress = %q\n", n.Name(), n.Addr4())
	}
	// The same for every lease, as members keep it while they run: two elections fit into
	// the least one.
	b.WriteString("[etcd]\nheartbeat = \"100ms\"\nelection = \"700ms\"\n")
	return b.String() + groups
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

// Name is that of [Rival].
func (m *Mailhad) Name() string { return fmt.Sprintf("mailhad, lease %.0f s", m.lease.Seconds()) }

// Ground is that of [Rival].
func (m *Mailhad) Ground() *Ground { return m.ground }

// Enter is that of [Rival].
func (m *Mailhad) Enter(ctx context.Context) error {
	return m.Run(ctx, MailhadConfig(m.ground, m.lease, warmMTA))
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
		_, err = first.Output(ctx, "mailhactl", "config", "apply", "--yes", next)
	}
	if err != nil {
		return err
	}
	return m.settled(ctx)
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
	return m.settled(ctx)
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
