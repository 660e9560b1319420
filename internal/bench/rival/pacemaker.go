// SPDX-License-Identifier: Apache-2.0

package rival

import (
	"context"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// pacemaker runs the neighbours' agents, with Corosync's default token and a fence
// device that takes a twentieth of a second.
type pacemaker struct {
	ground *Ground
	shape  string
	crm    string
	moved  string
	all    []string // what is configured, those that need others first
	former *pacemaker
}

const theirs = `
primitive p_ip ocf:heartbeat:IPaddr2 \
	params ip=` + Address + ` cidr_netmask=32 nic=eth0 \
	op start timeout=20s interval=0 op stop timeout=20s interval=0 op monitor interval=10s timeout=20s
primitive p_mta ocf:heartbeat:postfix \
	params config_dir=/etc/postfix-mx \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s
rsc_defaults resource-stickiness=100
`

// Pacemakers are Pacemaker with both in a group, as most clusters have it, and with a
// clone of Postfix that runs everywhere, so that the address moves alone.
func Pacemakers(g *Ground) []Rival {
	grouped := &pacemaker{ground: g, shape: "group", crm: theirs + "group g_mail p_ip p_mta\n", moved: "g_mail", all: []string{"g_mail", "p_ip", "p_mta"}}
	cloned := &pacemaker{ground: g, shape: "clone",
		crm:   theirs + "clone c_mta p_mta meta interleave=true\ncolocation l_with inf: p_ip c_mta\norder o_first Mandatory: c_mta p_ip\n",
		moved: "p_ip", former: grouped}
	return []Rival{grouped, cloned}
}

func (p *pacemaker) Name() string    { return "Pacemaker, " + p.shape }
func (p *pacemaker) Ground() *Ground { return p.ground }

func (p *pacemaker) cluster() *cluster.Cluster { return cluster.Of(p.ground.Lab) }

func (p *pacemaker) Enter(ctx context.Context) error {
	active, err := p.ground.Lab.Nodes()[0].Exec(ctx, "systemctl", "is-active", "pacemaker")
	if err != nil {
		return err
	}
	if active.ExitCode != 0 {
		if _, err := cluster.Form(ctx, p.ground.Lab, cluster.Options{}); err != nil {
			return err
		}
	} else if err := p.former.leave(ctx); err != nil {
		return err
	}
	if err := p.cluster().Crm(ctx, p.crm); err != nil {
		return err
	}
	return p.settled(ctx)
}

func (p *pacemaker) leave(ctx context.Context) error {
	if _, err := p.cluster().Output(ctx, "crm", "--wait", "resource", "stop", p.moved); err != nil {
		return err
	}
	if _, err := p.cluster().Output(ctx, append([]string{"crm", "--force", "configure", "delete"}, p.all...)...); err != nil {
		return err
	}
	return p.cluster().WaitIdle(ctx)
}

func (p *pacemaker) settled(ctx context.Context) error {
	if err := p.ground.untilOne(ctx, nil); err != nil {
		return err
	}
	return p.cluster().WaitIdle(ctx)
}

func (p *pacemaker) Move(ctx context.Context, to *lab.Node) error {
	_, err := p.cluster().Output(ctx, "crm_resource", "--move", "--resource", p.moved, "--node", to.Name())
	return err
}

func (p *pacemaker) Mend(ctx context.Context, n *lab.Node) error {
	// Fencing has started it anew, or nothing has happened to it.
	if err := p.cluster().Rejoin(ctx, n); err != nil {
		return err
	}
	if _, err := p.cluster().Output(ctx, "crm_resource", "--clear", "--resource", p.moved); err != nil {
		return err
	}
	if _, err := p.cluster().Output(ctx, "crm_resource", "--cleanup"); err != nil {
		return err
	}
	return p.settled(ctx)
}

func (*pacemaker) Notice() string {
	return `(Result of monitor operation for p_mta|p_mta_monitor_10000).*(not running|error|not_running)`
}

func (*pacemaker) Lease() time.Duration { return 0 }

func (*pacemaker) Versions() []string { return []string{"pacemaker", "corosync", "resource-agents"} }
