// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/agents"
)

// Type describes the agent.
func Type() agents.Type {
	return agents.Type{
		Name:  "directory",
		Short: "Replicated directory whose promoted replica has the secondary IP addresses",
		Long: `Runs one replica of a directory (OpenLDAP with syncrepl between several providers) on each node, as a promotable clone. All replicas follow each other's changes. The promoted one has the secondary IP addresses and takes what clients write; the others answer "unwilling to perform" to whoever would write to them.

A replica that is known to lack changes is not promoted unless force_promotion says so: it is compared with all replicas that can be reached, and for one that cannot, with what monitors have last seen of it. How fit each replica is goes into its promotion score.

A demote refuses writes first, then waits until another replica has every change, and only then gives the addresses up: nothing that was acknowledged is lost by a planned move. What a node's sudden death takes along is what no other replica had at that moment, for OpenLDAP acknowledges a change before it has sent it to others.

Monitors look at the unit, and at the addresses of the promoted replica (depth 0), at the protocol, the certificate and how far replicas are apart (depth 10), and at a test entry that is written, read and deleted (depth 20, promoted replica only).`,
		Actions: []agents.Action{
			{Name: "start", Timeout: time.Minute},
			{Name: "stop", Timeout: time.Minute},
			{Name: "promote", Timeout: time.Minute},
			{Name: "demote", Timeout: time.Minute},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: agents.DepthShallow, Role: agents.RoleUnpromoted},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 30 * time.Second, Depth: agents.DepthProtocol, Role: agents.RoleUnpromoted},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 9 * time.Second, Depth: agents.DepthShallow, Role: agents.RolePromoted},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 29 * time.Second, Depth: agents.DepthProtocol, Role: agents.RolePromoted},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 119 * time.Second, Depth: agents.DepthTransaction, Role: agents.RolePromoted},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{"config_dir": "/etc/ldap/slapd.d", "ip": "192.0.2.38,2001:db8::38"},
		New: func(env agents.Env) agents.Agent {
			a := &agent{OpenLDAP: NewOpenLDAP(env)}
			a.Replica = agents.NewReplica(env, a)
			return a
		},
	}
}

type agent struct {
	*agents.Replica
	*OpenLDAP
}

// Validate checks the parameters, and from DepthProtocol on this node too.
func (a *agent) Validate(ctx context.Context, depth agents.Depth) error {
	return errors.Join(a.validate(), a.Replica.Validate(ctx, depth))
}

// Params is the parameter table.
func (a *agent) Params() agents.Table { return append(a.OpenLDAP.Params(), a.Replica.Params()...) }
