// SPDX-License-Identifier: Apache-2.0

package fenceagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/fenced"
	"github.com/mailha/mailha/internal/poison"
	"github.com/mailha/mailha/resources"
)

// The actions of a fence agent.
const (
	On          = "on"
	Off         = "off"
	Reboot      = "reboot"
	Status      = "status"
	Monitor     = "monitor"
	List        = "list"
	ListStatus  = "list-status"
	Metadata    = "metadata"
	ValidateAll = "validate-all"
)

// Exit codes (FenceAgentAPI.md, "Agent Operations and Return Values").
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitOff    = 2 // of status
)

// Agent is fence_mailha.
type Agent struct {
	Version string
	Kinds   resources.Kinds
}

// errOff: the node is off, which status says by its exit code.
var errOff = errors.New("off")

// Run does what the arguments ask for or, if there are none, what standard input does. It
// returns an exit code, and has written to stderr why it failed.
func (a Agent) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := a.run(ctx, args, stdin, stdout, stderr)
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errOff):
		return ExitOff
	}
	fmt.Fprintf(stderr, "fence_mailha: %v\n", err)
	return ExitFailed
}

func (a Agent) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	v, err := parseArgs(args)
	if len(args) == 0 {
		v, err = parseInput(stdin, func(text string) { fmt.Fprintf(stderr, "fence_mailha: %s\n", text) })
	}
	if err != nil {
		return err
	}
	r, err := v.request()
	switch {
	case r.version:
		fmt.Fprintln(stdout, a.Version)
		return nil
	case r.help:
		help(stdout)
		return nil
	case r.action == Metadata || r.action == "meta-data":
		return metadata(stdout)
	case err != nil:
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if r.verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	return a.do(ctx, r, log, stdout)
}

// needsNode are the actions that are about one node.
func needsNode(action string) bool {
	return action == On || action == Off || action == Reboot || action == Status
}

func (a Agent) do(ctx context.Context, r request, log *slog.Logger, stdout io.Writer) error {
	c, err := fenced.Load(r.config, a.Kinds)
	if err != nil {
		return err
	}
	if needsNode(r.action) {
		if err := known(c, r.node); err != nil {
			return err
		}
	}
	client, err := enrol.Dial(c, log)
	if err != nil {
		return err
	}
	defer client.Close()
	if r.action == ValidateAll {
		return nil
	}
	if !wait(ctx, r.delay) {
		return fmt.Errorf("nothing was done: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return act(ctx, r, poison.Open(client, c.Name), stdout)
}

// known sees that the node is one that can be asked.
func known(c *resources.Cluster, name string) error {
	if name == "" {
		return fmt.Errorf("which node? %w", errUsage)
	}
	n, ok := c.Node(name)
	switch {
	case !ok:
		return fmt.Errorf("the configuration has no node %q", name)
	case n.Witness:
		return fmt.Errorf("%s is a witness, which runs nothing and is not fenced", name)
	}
	return nil
}

func act(ctx context.Context, r request, store *poison.Store, stdout io.Writer) error {
	switch r.action {
	case Off:
		return end(ctx, r, store, poison.PowerOff, stdout)
	case Reboot:
		return end(ctx, r, store, poison.Reboot, stdout)
	case On:
		if err := store.Clear(ctx, r.node); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: whatever was asked of it is taken back; this agent cannot switch a node on\n", r.node)
		return nil
	case Status:
		return status(ctx, r, store, stdout)
	case Monitor:
		return ask(ctx, func(ctx context.Context) error {
			_, err := store.Nodes(ctx)
			return err
		})
	case List, ListStatus:
		return list(ctx, r, store, stdout)
	}
	return fmt.Errorf("there is no action %.30q: %w", r.action, errUsage)
}

// asking is how long etcd may take to answer a question.
const asking = 5 * time.Second

func ask(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	return do(ctx)
}

func end(ctx context.Context, r request, store *poison.Store, a poison.Action, stdout io.Writer) error {
	host, err := os.Hostname()
	if err != nil {
		host = "somebody"
	}
	proof, err := store.Send(ctx, r.node, a, host)
	if err != nil {
		return err
	}
	words := map[poison.Proof]string{
		poison.LastWord: "it has said its last word", poison.NewLife: "it has come up anew since",
		poison.TimeIsUp: "its watchdog has reset it", poison.WasProved: "that was known",
	}
	fmt.Fprintf(stdout, "%s is off: %s\n", r.node, words[proof])
	return nil
}

func status(ctx context.Context, r request, store *poison.Store, stdout io.Writer) error {
	return ask(ctx, func(ctx context.Context) error {
		t, err := store.Look(ctx, r.node)
		switch {
		case err != nil:
			return err
		case !t.Armed():
			return fmt.Errorf("it is not known whether %s is on: %w", r.node, poison.ErrNoSlot)
		case t.Off():
			fmt.Fprintf(stdout, "Status: OFF\n")
			return errOff
		}
		fmt.Fprintf(stdout, "Status: ON\n")
		return nil
	})
}

func list(ctx context.Context, r request, store *poison.Store, stdout io.Writer) error {
	return ask(ctx, func(ctx context.Context) error {
		nodes, err := store.Nodes(ctx)
		if err != nil {
			return err
		}
		for _, node := range nodes {
			state := ""
			if r.action == ListStatus {
				t, err := store.Look(ctx, node)
				switch {
				case err != nil || !t.Armed():
					state = "unknown"
				case t.Off():
					state = Off
				default:
					state = On
				}
			}
			fmt.Fprintf(stdout, "%s,%s\n", node, state)
		}
		return nil
	})
}

// wait waits, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
