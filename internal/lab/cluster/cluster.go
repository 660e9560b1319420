// SPDX-License-Identifier: Apache-2.0

// Package cluster forms a Corosync and Pacemaker cluster of a lab's nodes, with
// fencing by fence_lab, and asks it things.
//
// It must never be used on anything but a lab's nodes: it overwrites their
// configuration.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Options say how the cluster differs from the default.
type Options struct {
	// Totem holds further settings of corosync.conf(5)'s totem section, such as
	// "token": "300" (milliseconds).
	Totem map[string]string
	// Properties holds further cluster properties.
	Properties map[string]string
	// NoFencing leaves stonith-enabled=false and no fence device.
	NoFencing bool
}

// Cluster is a cluster on all nodes of a lab.
type Cluster struct {
	lab *lab.Lab
	via *lab.Node
}

// Form configures and starts the cluster on all nodes and returns when all are
// online, one is designated controller, and the fence device runs.
func Form(ctx context.Context, l *lab.Lab, opts Options) (*Cluster, error) {
	c := &Cluster{lab: l}
	files, err := configure(l, opts)
	if err != nil {
		return nil, fmt.Errorf("lab %s: cluster: %w", l.Name(), err)
	}
	err = l.Each(func(n *lab.Node) error {
		if err := install(ctx, n, files); err != nil {
			return err
		}
		return start(ctx, n)
	})
	if err == nil {
		err = c.WaitOnline(ctx, l.Nodes()...)
	}
	if err == nil && !opts.NoFencing {
		err = c.waitStarted(ctx, fenceDevice)
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: cluster: %w", l.Name(), err)
	}
	return c, nil
}

// Of returns the cluster on a lab where Form has been called before.
func Of(l *lab.Lab) *Cluster { return &Cluster{lab: l} }

// Via returns the cluster as seen by one node. By default the first one that
// runs is asked, which a test that pauses or isolates nodes may not want.
func (c *Cluster) Via(n *lab.Node) *Cluster { return &Cluster{lab: c.lab, via: n} }

func (c *Cluster) node() (*lab.Node, error) {
	if c.via != nil {
		return c.via, nil
	}
	for _, n := range c.lab.Nodes() {
		if n.Running() {
			return n, nil
		}
	}
	return nil, fmt.Errorf("lab %s: all nodes: %w", c.lab.Name(), lab.ErrNotRunning)
}

// Output runs a program on one node; see [lab.Node.Output].
func (c *Cluster) Output(ctx context.Context, argv ...string) (string, error) {
	n, err := c.node()
	if err != nil {
		return "", err
	}
	return n.Output(ctx, argv...)
}

func start(ctx context.Context, n *lab.Node) error {
	_, err := n.Output(ctx, "systemctl", "start", "corosync.service", "pacemaker.service")
	return err
}

// Rejoin brings a node that was killed, fenced or shut down back into the
// cluster and returns when it is online.
func (c *Cluster) Rejoin(ctx context.Context, n *lab.Node) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	if err := start(ctx, n); err != nil {
		return err
	}
	return c.WaitOnline(ctx, n)
}

// uncoloured takes the colours out of what crm says to no terminal.
var uncoloured = strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "")

// Crm feeds a script to "crm configure" and commits it. It is an error if crm
// complains of any of it, which crm itself does not always take for one; what
// it did understand is committed even so.
func (c *Cluster) Crm(ctx context.Context, script string) error {
	n, err := c.node()
	if err != nil {
		return err
	}
	cmd, err := n.Command(ctx, "crm", "-F", "configure")
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(script + "\ncommit\n")
	out, err := cmd.CombinedOutput()
	said := uncoloured.Replace(string(out))
	if err == nil && strings.Contains(said, "ERROR:") {
		err = errors.New("refused in part")
	}
	if err != nil {
		return fmt.Errorf("%s: crm configure: %w: %s", n.Name(), err, strings.TrimSpace(said))
	}
	return nil
}

// WaitIdle returns when the cluster has nothing left to do.
func (c *Cluster) WaitIdle(ctx context.Context) error {
	_, err := c.Output(ctx, "crm_resource", "--wait")
	return err
}

// pollEvery is how often Wait asks; crm_mon takes about 10 ms.
const pollEvery = 100 * time.Millisecond

// Wait asks for the status until ok says yes. Failures are retried: while a
// cluster forms or loses its controller, it is no failure not to answer.
func (c *Cluster) Wait(ctx context.Context, what string, ok func(*Status) bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		s, err := c.Status(ctx)
		if err == nil && ok(s) {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(context.Cause(ctx), last))
		case <-tick.C:
		}
	}
}

// WaitOnline returns when the nodes are online members of a partition that has
// quorum and a designated controller.
func (c *Cluster) WaitOnline(ctx context.Context, nodes ...*lab.Node) error {
	return c.Wait(ctx, "nodes to be online", func(s *Status) bool {
		if !s.DC.Present || !s.DC.Quorum {
			return false
		}
		for _, n := range nodes {
			if !s.online(n.Name()) {
				return false
			}
		}
		return true
	})
}

// WaitResource returns when that node itself says that the resource runs there.
func (c *Cluster) WaitResource(ctx context.Context, resource string, on *lab.Node) error {
	return c.Via(on).Wait(ctx, resource+" to run on "+on.Name(), func(s *Status) bool {
		return s.runsOn(resource, on.Name())
	})
}

func (c *Cluster) waitStarted(ctx context.Context, resource string) error {
	return c.Wait(ctx, resource+" to run", func(s *Status) bool {
		r := s.resource(resource)
		return r != nil && r.Role == "Started"
	})
}
