// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/lab"
)

// mailhad runs a system by a file below contrib/mailhad.
type mailhad struct{ lab *lab.Lab }

const configFile = "/etc/mailha/mailha.toml"

// newMailhad makes a cluster the way that an administrator would.
func newMailhad(ctx context.Context, l *lab.Lab, file string) (*mailhad, error) {
	m := &mailhad{l}
	config, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := FormMailhad(ctx, l, onLab(string(config))); err != nil {
		return m, err
	}
	if err := m.settled(ctx, nil); err != nil {
		return m, err
	}
	// While the first node was alone it took everything.
	return m, m.spread(ctx)
}

// FormMailhad makes a cluster of all nodes of a lab on which mailha is installed, with
// the configuration given: init on the first node, a token for each of the others. It
// does not wait for anything to run.
func FormMailhad(ctx context.Context, l *lab.Lab, config string) error {
	first := l.Nodes()[0]
	if err := first.Push(configFile, []byte(config), 0o600); err != nil {
		return err
	}
	if _, err := first.Output(ctx, "sh", "-euc", "mailhactl cluster init; systemctl start mailhad"); err != nil {
		return err
	}
	for _, n := range l.Nodes()[1:] {
		token, err := first.Output(ctx, "mailhactl", "cluster", "token", n.Name())
		if err != nil {
			return err
		}
		if err := n.Push("/root/token", []byte(token), 0o600); err != nil {
			return err
		}
		if _, err := n.Output(ctx, "sh", "-euc", "mailhactl cluster join --token-file /root/token; rm /root/token; systemctl start mailhad"); err != nil {
			return err
		}
	}
	return nil
}

// spread puts each service where it is at home.
func (m *mailhad) spread(ctx context.Context) error {
	st, err := m.status(ctx, nil)
	if err != nil {
		return err
	}
	for _, g := range st.Groups {
		if len(g.Nodes) > 0 && g.Node != g.Nodes[0] {
			if _, err := m.on(nil).Output(ctx, "mailhactl", "group", "move", g.Name, g.Nodes[0]); err != nil {
				return err
			}
		}
	}
	return m.settled(ctx, nil)
}

func (*mailhad) name() string { return "mailhad" }

// on is a node other than one that may be down.
func (m *mailhad) on(not *lab.Node) *lab.Node { return next(m.lab, not) }

func (m *mailhad) status(ctx context.Context, not *lab.Node) (api.Status, error) {
	var st api.Status
	out, err := m.on(not).Output(ctx, "mailhactl", "status", "--output", "json")
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		return st, fmt.Errorf("status: %w", err)
	}
	return st, nil
}

func (m *mailhad) restart(ctx context.Context, p Part) error {
	for _, verb := range []string{"stop", "start"} {
		if _, err := m.on(nil).Output(ctx, "mailhactl", "resource", verb, p.resource()); err != nil {
			return err
		}
	}
	return nil
}

// resource is what Pacemaker may have in a clone.
func (p Part) resource() string {
	if p.Resource == "c_directory" {
		return "p_directory"
	}
	return p.Resource
}

// inGroup is the group that has a resource.
func inGroup(st api.Status, resource string) (api.Group, error) {
	for _, g := range st.Groups {
		for _, r := range g.Resources {
			if r.Name == resource {
				return g, nil
			}
		}
	}
	return api.Group{}, fmt.Errorf("no group has %s", resource)
}

func (m *mailhad) move(ctx context.Context, p Part, to *lab.Node) error {
	st, err := m.status(ctx, nil)
	if err != nil {
		return err
	}
	g, err := inGroup(st, p.resource())
	if err != nil {
		return err
	}
	_, err = m.on(nil).Output(ctx, "mailhactl", "group", "move", g.Name, to.Name())
	return err
}

func (m *mailhad) standby(ctx context.Context, n *lab.Node, on bool) error {
	verb := "online"
	if on {
		verb = "standby"
	}
	_, err := m.on(nil).Output(ctx, "mailhactl", "node", verb, n.Name())
	return err
}

func (*mailhad) moved(context.Context, Part) error { return nil }

func (m *mailhad) where(ctx context.Context, p Part, not *lab.Node) (*lab.Node, error) {
	st, err := m.status(ctx, not)
	if err != nil {
		return nil, err
	}
	g, err := inGroup(st, p.resource())
	if err != nil {
		return nil, err
	}
	if g.Node == "" || g.Phase != "running" {
		return nil, fmt.Errorf("%s is %s: %s", g.Name, g.Phase, g.Why)
	}
	return named(m.lab, g.Node)
}

func (m *mailhad) rejoin(ctx context.Context, n *lab.Node) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	if _, err := n.Output(ctx, "systemctl", "start", "mailhad"); err != nil {
		return err
	}
	return m.settled(ctx, nil)
}

func (m *mailhad) idle(ctx context.Context) error { return m.settled(ctx, nil) }

// settled waits until every node is present and every group runs.
func (m *mailhad) settled(ctx context.Context, not *lab.Node) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := m.status(ctx, not)
		missing := ""
		if err == nil {
			missing = unsettled(st)
		} else {
			missing = err.Error()
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ctx.Err(), missing)
		case <-tick.C:
		}
	}
}

// unsettled says what is missing.
func unsettled(st api.Status) string {
	if st.Stale {
		return "the state is old"
	}
	for _, n := range st.Nodes {
		if n.State != api.Online {
			return fmt.Sprintf("node %s is %s", n.Name, n.State)
		}
	}
	for _, g := range st.Groups {
		if g.Phase != "running" || g.Plan != nil && g.Plan.Action != "keep" {
			return fmt.Sprintf("group %s is %s on %s: %s", g.Name, g.Phase, g.Node, g.Why)
		}
		for _, r := range g.Resources {
			if r.Phase == "failed" || r.Phase == "unknown" {
				return fmt.Sprintf("resource %s is %s on %s: %s", r.Name, r.Phase, r.Node, r.Detail)
			}
		}
	}
	return ""
}

func (m *mailhad) forgive(ctx context.Context, p Part) error {
	_, err := m.on(nil).Output(ctx, "mailhactl", "failures", "forget", p.resource())
	return err
}

func (m *mailhad) say(ctx context.Context) (string, error) {
	out, err := m.on(nil).Output(ctx, "sh", "-c", "mailhactl status; mailhactl events --lines 30; journalctl -u mailhad -n 40 --no-pager")
	return out, err
}
