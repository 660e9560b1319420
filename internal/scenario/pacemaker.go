// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// pacemaker runs a system by a file below contrib/pacemaker.
type pacemaker struct {
	*cluster.Cluster
	lab *lab.Lab
}

// newPacemaker forms a cluster and loads a file as it says of itself, but for the
// addresses.
func newPacemaker(ctx context.Context, l *lab.Lab, file string) (*pacemaker, error) {
	c, err := cluster.Form(ctx, l, cluster.Options{})
	if err != nil {
		return nil, err
	}
	p := &pacemaker{c, l}
	config, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	if filepath.Ext(file) == ".crm" {
		return p, c.Crm(ctx, onLab(string(config)))
	}
	n := l.Nodes()[0]
	if err := n.Push("/root/mail.pcs", []byte(onLab(string(config))), 0o600); err != nil {
		return p, err
	}
	_, err = n.Output(ctx, "sh", "-euc", "cd /root; pcs cluster cib mail.xml; sh mail.pcs mail.xml; pcs cluster cib-push mail.xml")
	return p, err
}

func (*pacemaker) name() string { return "pacemaker" }

func (m *pacemaker) restart(ctx context.Context, p Part) error {
	for _, verb := range []string{"stop", "start"} {
		if _, err := m.Output(ctx, "crm", "--wait", "resource", verb, p.Resource); err != nil {
			return err
		}
	}
	return nil
}

func (m *pacemaker) move(ctx context.Context, p Part, to *lab.Node) error {
	_, err := m.Output(ctx, inRole(p, "crm_resource", "--move", "--resource", p.moved, "--node", to.Name())...)
	return err
}

// moved takes the order back when the cluster has come to rest: a replica that was promoted a
// moment ago has no better score than the former one before its first monitor, and without
// the order Pacemaker may turn round.
func (m *pacemaker) moved(ctx context.Context, p Part) error {
	if err := m.WaitIdle(ctx); err != nil {
		return err
	}
	_, err := m.Output(ctx, inRole(p, "crm_resource", "--clear", "--resource", p.moved)...)
	return err
}

func (m *pacemaker) standby(ctx context.Context, n *lab.Node, on bool) error {
	value := "off"
	if on {
		value = "on"
	}
	_, err := m.Output(ctx, "crm_standby", "--node", n.Name(), "--update", value)
	return err
}

func inRole(p Part, argv ...string) []string {
	if p.promoted {
		argv = append(argv, "--promoted")
	}
	return argv
}

func (m *pacemaker) where(ctx context.Context, p Part, not *lab.Node) (*lab.Node, error) {
	c := m.Cluster
	if not != nil {
		c = c.Via(next(m.lab, not))
	}
	out, err := c.Output(ctx, "crm_resource", "--locate", "--resource", p.Resource)
	if err != nil {
		return nil, err
	}
	pattern := `(?m)is running on: (\S+) *$`
	if p.promoted {
		pattern = `(?m)is running on: (\S+) +(?:Promoted|Master) *$`
	}
	found := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if found == nil {
		return nil, fmt.Errorf("%s is nowhere: %s", p.Resource, out)
	}
	return named(m.lab, found[1])
}

func (m *pacemaker) rejoin(ctx context.Context, n *lab.Node) error { return m.Rejoin(ctx, n) }

func (m *pacemaker) idle(ctx context.Context) error { return m.WaitIdle(ctx) }

func (m *pacemaker) forgive(ctx context.Context, _ Part) error {
	_, err := m.Output(ctx, "crm_resource", "--cleanup")
	return err
}

func (m *pacemaker) say(ctx context.Context) (string, error) {
	return m.Output(ctx, "crm_mon", "--one-shot", "--inactive", "--failcounts")
}

// named finds a node.
func named(l *lab.Lab, name string) (*lab.Node, error) {
	for _, n := range l.Nodes() {
		if n.Name() == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s is no node", name)
}

// next is the node after one.
func next(l *lab.Lab, not *lab.Node) *lab.Node {
	nodes := l.Nodes()
	for i, n := range nodes {
		if n == not {
			return nodes[(i+1)%len(nodes)]
		}
	}
	return nodes[0]
}
