// SPDX-License-Identifier: Apache-2.0

// Package store is the agent for message stores: mailboxes that clients read by
// IMAP and POP3, and that an MTA delivers into by LMTP. Dovecot is its backend.
//
// It must never let a store run where its mailboxes are not: what was not there
// would be made anew, and empty.
package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
)

// Type describes the agent.
func Type() agents.Type {
	return agents.Type{
		Name:  "store",
		Short: "Message store (IMAP, POP3, LMTP) with its secondary IP addresses",
		Long: `Runs one instance of Dovecot with its mailboxes as a systemd unit, and the secondary IP addresses that follow it.

The instance runs only where its mailboxes are: a marker file on their file system must be there when it starts, is looked at by every monitor, and without it systemd does not start the instance either. A node on which the file system is not mounted never gets an empty mailbox.

A start returns when each protocol greets its clients. A stop closes the ports to new clients and deliveries, lets those under way finish, ends idle sessions politely, a few at a time, and stops the instance when no client is left or the drain timeout is over. It returns success only when no process of the instance is left and the addresses are gone, whatever became of the configuration, the software or the file system meanwhile.

Monitors look at unit, addresses and marker (depth 0), at each protocol's greeting and certificate (depth 10), and at a message's way into a mailbox and out again (depth 20).`,
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
		Example: map[string]string{"config_dir": "/etc/dovecot-store", "mail_dir": "/srv/store", "ip": "192.0.2.52,2001:db8::52"},
		New:     func(env agents.Env) agents.Agent { return newAgent(env) },
	}
}

type agent struct {
	*agents.Service
	*Dovecot
	mailDir  agents.Path
	marker   agents.Text
	onRoot   agents.Bool
	certDays agents.Number
	tester   tester

	torn []damage // indexes that the recovery before this start has found
}

func newAgent(env agents.Env) *agent {
	a := &agent{Dovecot: NewDovecot(), marker: ".mailha-store", certDays: 14}
	a.Service = agents.NewService(env, a)
	return a
}

// Params is the parameter table.
func (a *agent) Params() agents.Table {
	return slices.Concat(a.Dovecot.Params(), agents.Table{
		{Name: "mail_dir", Value: &a.mailDir, Required: true,
			Short: "Directory that holds the mailboxes",
			Long:  "Usually where the file system with the mailboxes is mounted."},
		{Name: "mount_marker", Value: &a.marker,
			Short: "File that shows that the mail file system is mounted",
			Long:  "A name in mail_dir, or a whole path on the same file system. Make it once, while the file system is mounted, for example by \"touch /srv/store/.mailha-store\". Where it is missing, the store is not started; if it vanishes, monitors fail."},
		{Name: "mail_on_root", Value: &a.onRoot,
			Short: "Whether the mailboxes may be on the node's root file system",
			Long:  "Only for stores that keep their mailboxes on the node itself, such as replicas. Otherwise a marker on the root file system is taken for one that was made while the mail file system was not mounted."},
		{Name: "cert_days", Value: &a.certDays, Reloadable: true,
			Short: "Days that the certificates must still last, or the store is degraded",
			Long:  "Looked at by monitors at depth 10 wherever TLS is offered. 0 means that they do not matter."},
	}, a.tester.params(), a.Service.Params())
}

// Validate checks the parameters, and from DepthProtocol on this node too.
func (a *agent) Validate(ctx context.Context, depth agents.Depth) error {
	if err := a.tester.check(); err != nil {
		return err
	}
	if err := a.Service.Validate(ctx, depth); err != nil || depth < agents.DepthProtocol || a.tester.user == "" {
		return err
	}
	if _, err := a.tester.secret(); err != nil {
		return fmt.Errorf("%w: %w", agents.ErrNode, err)
	}
	return nil
}

// Inspect asks the backend, and adds where the mailboxes are.
func (a *agent) Inspect(ctx context.Context) (agents.Facts, error) {
	facts, err := a.Dovecot.Inspect(ctx)
	if a.mailDir == "" {
		return facts, err
	}
	facts.DataDir = string(a.mailDir)
	facts.Mount = agents.Mount{Dir: string(a.mailDir), Marker: a.markerPath(), Root: bool(a.onRoot)}
	return facts, err
}

func (a *agent) markerPath() string {
	if filepath.IsAbs(string(a.marker)) {
		return filepath.Clean(string(a.marker))
	}
	return filepath.Join(string(a.mailDir), string(a.marker))
}
