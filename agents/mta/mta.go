// SPDX-License-Identifier: Apache-2.0

// Package mta is the agent for mail transfer agents. The agent knows SMTP and
// what a queue means; a backend knows one product's files and processes.
//
// It must never change a product's configuration, and never touch a message:
// what was accepted is the product's to keep.
package mta

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/vip"
)

// Type describes the agent.
func Type() agents.Type {
	return agents.Type{
		Name:  "mta",
		Short: "Mail transfer agent with its secondary IP addresses",
		Long: `Runs one instance of a mail transfer agent (Postfix or Exim) as a systemd unit, and the secondary IP addresses that follow it.

A start returns when the instance greets its clients. A stop closes the ports to new clients, lets the connected ones finish what they are at and the deliveries that are under way, within the drain timeout, and only then stops the instance: nothing that was accepted is lost, and nothing is delivered twice because of a stop. Clients that have been silent for two seconds outside of a message are sent away meanwhile, a few at a time, with the reply 421, which has them try again. Without secondary addresses the ports are closed where the instance listens, by its own configuration; an instance that listens on all addresses closes them on all. A stop returns success only when no process of the instance is left and the addresses are gone, whatever became of the configuration, the software or the file system meanwhile.

Monitors look at unit and addresses (depth 0), at the SMTP dialogue, the certificate, the queue and its file system (depth 10), and at a message's way through the whole queue (depth 20).`,
		Actions: []agents.Action{
			{Name: "start", Timeout: time.Minute},
			{Name: "stop", Timeout: time.Minute},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: agents.DepthShallow},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 30 * time.Second, Depth: agents.DepthProtocol},
			{Name: "monitor", Timeout: 40 * time.Second, Interval: 120 * time.Second, Depth: agents.DepthTransaction},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{"config_dir": "/etc/postfix-mx", "ip": "192.0.2.25,2001:db8::25"},
		New:     func(env agents.Env) agents.Agent { return newAgent(env) },
	}
}

type agent struct {
	*agents.Service
	product   product
	instance  Instance
	postfix   *Postfix
	exim      *Exim
	recipient agents.Text
	certDays  agents.Number
	limits    limits
}

func newAgent(env agents.Env) *agent {
	a := &agent{product: "postfix", certDays: 14, limits: newLimits()}
	a.postfix, a.exim = NewPostfix(&a.instance), NewExim(&a.instance)
	a.Service = agents.NewService(env, a)
	return a
}

func (a *agent) backend() Backend {
	if a.product == "exim" {
		return a.exim
	}
	return a.postfix
}

func (a *agent) Params() agents.Table {
	return slices.Concat(agents.Table{
		{Name: "backend", Value: &a.product,
			Short: "The product: postfix or exim",
			Long:  "Of the parameters config_dir and config only the one of the product counts."},
	}, a.postfix.Params(), a.exim.Params(), a.instance.Params(), agents.Table{
		{Name: "cert_days", Value: &a.certDays, Reloadable: true,
			Short: "Days that the certificate must still last, or the MTA is degraded",
			Long:  "Looked at by monitors at depth 10 if STARTTLS is offered, for each certificate that the server sends. 0 means that it does not matter, and TLS is not tried."},
	}, a.limits.params(), agents.Table{
		{Name: "check_recipient", Value: &a.recipient, Reloadable: true,
			Short: "Where the test message of a monitor at depth 20 goes",
			Long:  "Empty means, with Postfix, an address of the instance itself that takes mail and discards it, so that nothing leaves the system. Exim has no such address, and one that its configuration discards mail for has to be named. A test message that cannot be delivered is taken out of the queue again."},
	}, a.Service.Params())
}

// Inspect asks the backend.
func (a *agent) Inspect(ctx context.Context) (agents.Facts, error) { return a.backend().Inspect(ctx) }

// Drain asks the backend.
func (a *agent) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	return a.backend().Drain(ctx, f, tell)
}

// MarkPath asks the backend.
func (a *agent) MarkPath(f agents.Facts) string { return a.backend().MarkPath(f) }

// Identity asks the backend.
func (a *agent) Identity(f agents.Facts) (string, error) { return a.backend().Identity(f) }

// Recover asks the backend.
func (a *agent) Recover(ctx context.Context, f agents.Facts, clean bool) (string, error) {
	return a.backend().Recover(ctx, f, clean)
}

// Dismiss asks the backend.
func (a *agent) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	return a.backend().Dismiss(ctx, f, idle)
}

// Rehearse asks the backend.
func (a *agent) Rehearse(ctx context.Context, f agents.Facts) error {
	return a.backend().Rehearse(ctx, f)
}

// target is where clients find the instance.
func (a *agent) target(f agents.Facts) netip.AddrPort {
	const smtp = 25
	port := uint16(smtp)
	if len(f.Ports) > 0 && !slices.Contains(f.Ports, smtp) {
		port = f.Ports[0]
	}
	return netip.AddrPortFrom(a.Target(f), port)
}
