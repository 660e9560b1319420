// SPDX-License-Identifier: Apache-2.0

// Package service is the agent for any daemon that runs as a systemd unit: the
// common lifecycle, with a port that answers as the only proof of health.
//
// It must never assume anything about what the unit does.
package service

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// Type describes the agent.
func Type() agents.Type {
	return agents.Type{
		Name:  "service",
		Short: "Any systemd unit, with secondary IP addresses if wanted",
		Long: `Runs one systemd unit, and secondary IP addresses that follow it.

A start returns when the unit is active and each of its ports accepts connections. A stop closes the ports to new clients, lets the connected ones finish until drain_timeout, stops the unit, and returns success only when no process of the unit is left and the addresses are gone.`,
		Actions: []agents.Action{
			{Name: "start", Timeout: time.Minute},
			{Name: "stop", Timeout: time.Minute},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: agents.DepthShallow},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 30 * time.Second, Depth: agents.DepthProtocol},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{"unit": "postgrey.service", "ports": "10023"},
		New: func(env agents.Env) agents.Agent {
			a := &agent{}
			a.Service = agents.NewService(env, a)
			a.units = env.Units
			return a
		},
	}
}

type agent struct {
	*agents.Service
	units agents.Units
	unit  agents.UnitName
	ports agents.Ports
}

func (a *agent) Params() agents.Table {
	return append(agents.Table{
		{Name: "unit", Value: &a.unit, Required: true, Unique: "unit",
			Short: "Systemd unit",
			Long:  "Its full name, such as example.service. It must not be enabled: the cluster starts it."},
		{Name: "ports", Value: &a.ports,
			Short: "TCP ports that clients connect to",
			Long:  "Each must accept connections before the service counts as started. Without ports, all ports of the secondary addresses are closed while the service drains; without secondary addresses, its ports are closed on all addresses of the node."},
	}, a.Service.Params()...)
}

// Inspect asks systemd for the unit's own view of itself.
func (a *agent) Inspect(ctx context.Context) (agents.Facts, error) {
	if a.unit == "" {
		return agents.Facts{}, fmt.Errorf("%w: no unit is named", agents.ErrParameter)
	}
	facts := agents.Facts{Unit: string(a.unit), Ports: a.ports}
	state, err := a.units.State(ctx, facts.Unit)
	if err != nil {
		return facts, err
	}
	facts.Process = process.Match{ControlGroup: state.ControlGroup}
	return facts, nil
}

// Check connects to each port.
func (a *agent) Check(ctx context.Context, f agents.Facts, _ agents.Depth) error {
	for _, port := range f.Ports {
		target := netip.AddrPortFrom(a.Target(f), port).String()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			return fmt.Errorf("port %d of %s does not answer: %w", port, f.Unit, err)
		}
		conn.Close()
	}
	return nil
}

// Drain has nothing to add: a unit about which nothing is known has no work
// in hand but its sessions.
func (*agent) Drain(context.Context, agents.Facts, func(int)) (int, error) { return 0, nil }
