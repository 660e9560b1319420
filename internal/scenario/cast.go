// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Cast is a set of agents that can run the same services.
type Cast struct {
	Name    string
	crm     string   // primitives, for crm configure
	members []string // of the group, in order
}

const (
	ourFilesystem   = "\nprimitive p_fs ocf:mailha:filesystem " + onDisk
	theirFilesystem = "\nprimitive p_fs ocf:heartbeat:Filesystem " + onDisk

	onDisk = `params device=` + lab.DiskPath + ` directory=/srv/mail fstype=ext4 \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=20s timeout=40s
`
)

const policy = `
primitive ` + Policy + ` ocf:mailha:service \
	params unit=postgrey.service ports=10023 \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s
`

// ourMTA is reached on an address that moves before the disk does.
const ourMTA = `
primitive p_vip ocf:mailha:vip \
	params ip="` + vip4 + ` ` + vip6 + `" description="mail for example.test" \
	op start timeout=20s interval=0 op stop timeout=20s interval=0 op monitor interval=10s timeout=20s
primitive ` + MTA + ` ocf:mailha:mta \
	params config_dir=/etc/postfix-mx shared_ip="` + vip4 + ` ` + vip6 + `" description="mail for example.test" \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 \
	op monitor interval=10s timeout=20s \
	op monitor interval=30s timeout=20s OCF_CHECK_LEVEL=10
`

const theirMTA = `
primitive p_ip ocf:heartbeat:IPaddr2 \
	params ip=` + vip4 + ` cidr_netmask=32 nic=eth0 \
	op start timeout=20s interval=0 op stop timeout=20s interval=0 op monitor interval=10s timeout=20s
primitive ` + MTA + ` ocf:heartbeat:postfix \
	params config_dir=/etc/postfix-mx \
	op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s
`

// Ours are mailha's agents, with the address before the disk and another service
// beside the MTA.
func Ours() Cast {
	return Cast{Name: "mailha", crm: ourFilesystem + policy + ourMTA, members: []string{"p_vip", "p_fs", Policy, MTA}}
}

// Bare are only those of our agents that the neighbours have a part for, with
// the queue on the shared disk or on each node's own.
func Bare(disk bool) Cast {
	if disk {
		return Cast{Name: "mailha", crm: ourFilesystem + ourMTA, members: []string{"p_vip", "p_fs", MTA}}
	}
	return Cast{Name: "mailha", crm: ourMTA, members: []string{"p_vip", MTA}}
}

// Neighbours are the agents that most clusters run today, in the order that
// their documentation gives.
func Neighbours(disk bool) Cast {
	if disk {
		return Cast{Name: "heartbeat", crm: theirFilesystem + theirMTA, members: []string{"p_fs", "p_ip", MTA}}
	}
	return Cast{Name: "heartbeat", crm: theirMTA, members: []string{"p_ip", MTA}}
}

// Enter configures the cast's resources and waits until the MTA runs on a node.
func (s *Stage) Enter(ctx context.Context, c Cast, on *lab.Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	script := fmt.Sprintf("%s\ngroup %s %s\nrsc_defaults resource-stickiness=100\nlocation l_first %s 50: %s\n",
		c.crm, group, strings.Join(c.members, " "), group, on.Name())
	if err := s.Cluster.Crm(ctx, script); err != nil {
		return err
	}
	return s.explain(s.Cluster.WaitResource(ctx, MTA, on))
}

// Leave stops the cast's resources and takes them out of the configuration.
func (s *Stage) Leave(ctx context.Context, c Cast) error {
	if _, err := s.Cluster.Output(ctx, "crm", "--wait", "resource", "stop", group); err != nil {
		return err
	}
	// A group takes its members along only if it has several.
	gone := append([]string{"crm", "--force", "configure", "delete", group}, c.members...)
	if _, err := s.Cluster.Output(ctx, gone...); err != nil {
		return err
	}
	return s.Cluster.WaitIdle(ctx)
}
