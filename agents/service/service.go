// SPDX-License-Identifier: Apache-2.0

// Package service is the agent for any daemon that runs as a systemd unit: the
// common lifecycle, with a port that answers as the only proof of health, and a
// program of the administrator's that mends data after an unclean end.
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

A start returns when the unit is active and each of its ports accepts connections, by a process of the unit. If the data may be damaged, since their last run on whichever node did not end in order, the program named by recover runs before. A stop closes the ports to new clients, lets the connected ones finish until drain_timeout, stops the unit, and returns success only when no process of the unit is left and the addresses are gone.`,
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
	units   agents.Units
	unit    agents.UnitName
	ports   agents.Ports
	dataDir agents.Path
	recover agents.Path
}

func (a *agent) Params() agents.Table {
	return append(agents.Table{
		{Name: "unit", Value: &a.unit, Required: true, Unique: "unit",
			Short: "Systemd unit",
			Long:  "Its full name, such as example.service. It must not be enabled: the cluster starts it."},
		{Name: "ports", Value: &a.ports,
			Short: "TCP ports that clients connect to",
			Long:  "A process of the unit, or systemd for it, must listen on each, and accept connections, before the service counts as started. Without ports, all ports of the secondary addresses are closed while the service drains; without secondary addresses, its ports are closed on all addresses of the node."},
		{Name: "data_dir", Value: &a.dataDir, Unique: "data_dir",
			Short: "Directory in which the end of each run is noted",
			Long:  "It lies on the file system of the service's data and goes where they go, and must belong to root and be writable to nobody else: a directory of its own, empty but for the note. A start fails where it is missing, so that nothing is started without its file system. Empty means that nothing is noted."},
		{Name: "recover", Value: &a.recover,
			Short: "Program that runs before a start after an unclean end",
			Long:  "It runs as root, with the unit stopped, when the last run did not end in order or nothing is known of it: it must do no harm to data that are whole. If it fails, so does the start, whose timeout must allow for it. MAILHA_UNIT and MAILHA_DATA_DIR are in its environment. Needs data_dir."},
	}, a.Service.Params()...)
}

// Inspect asks systemd for the unit's own view of itself.
func (a *agent) Inspect(ctx context.Context) (agents.Facts, error) {
	if a.unit == "" {
		return agents.Facts{}, fmt.Errorf("%w: no unit is named", agents.ErrParameter)
	}
	facts := agents.Facts{Unit: string(a.unit), Ports: a.ports, DataDir: string(a.dataDir)}
	state, err := a.units.State(ctx, facts.Unit)
	if err != nil {
		return facts, err
	}
	facts.Process = process.Match{ControlGroup: state.ControlGroup}
	return facts, a.checkData()
}

// Check sees whose each port is, and connects to it.
func (a *agent) Check(ctx context.Context, f agents.Facts, _ agents.Depth) error {
	for _, port := range f.Ports {
		// Before it is called: a stranger has no use for that.
		if err := agents.Listens(ctx, f, port); err != nil {
			return err
		}
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
