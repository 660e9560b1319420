// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Cast is a set of agents that can run the same services.
type Cast struct {
	Name string
	crm  string
}

const filesystem = `
primitive p_fs ocf:heartbeat:Filesystem \
	params device=` + lab.DiskPath + ` directory=/srv/mail fstype=ext4 \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=20s timeout=40s
`

// Ours are mailha's agents: the address belongs to the MTA.
func Ours() Cast {
	return Cast{Name: "mailha", crm: filesystem + `
primitive ` + Policy + ` ocf:mailha:service \
	params unit=postgrey.service ports=10023 \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s
primitive ` + MTA + ` ocf:mailha:mta \
	params config_dir=/etc/postfix-mx ip="` + vip4 + ` ` + vip6 + `" \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 \
	op monitor interval=10s timeout=20s \
	op monitor interval=30s timeout=20s OCF_CHECK_LEVEL=10
group ` + group + ` p_fs ` + Policy + ` ` + MTA + `
rsc_defaults resource-stickiness=100
`}
}

// Neighbours are the agents that most clusters run today, in the order that
// their documentation gives.
func Neighbours() Cast {
	return Cast{Name: "heartbeat", crm: filesystem + `
primitive p_ip ocf:heartbeat:IPaddr2 \
	params ip=` + vip4 + ` cidr_netmask=32 nic=eth0 \
	op start timeout=20s interval=0 op stop timeout=20s interval=0 op monitor interval=10s timeout=20s
primitive ` + MTA + ` ocf:heartbeat:postfix \
	params config_dir=/etc/postfix-mx \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s
group ` + group + ` p_fs p_ip ` + MTA + `
rsc_defaults resource-stickiness=100
`}
}

// Enter configures the cast's resources and waits until the MTA runs on a node.
func (s *Stage) Enter(ctx context.Context, c Cast, on *lab.Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.Cluster.Crm(ctx, c.crm+"\nlocation l_first "+group+" 50: "+on.Name()+"\n"); err != nil {
		return err
	}
	return s.explain(s.Cluster.WaitResource(ctx, MTA, on))
}

// Leave stops the cast's resources and takes them out of the configuration.
func (s *Stage) Leave(ctx context.Context) error {
	if _, err := s.Cluster.Output(ctx, "crm", "--wait", "resource", "stop", group); err != nil {
		return err
	}
	if _, err := s.Cluster.Output(ctx, "crm", "--force", "configure", "delete", group); err != nil {
		return err
	}
	return s.Cluster.WaitIdle(ctx)
}
