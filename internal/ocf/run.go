// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/unit"
)

// StateDir is where the calls of one agent leave word for each other, unless
// the program says otherwise: a directory that a boot empties.
const StateDir = "/run/mailha"

// Program is the multi-call binary behind every ocf:mailha:* agent.
type Program struct {
	Types    []agents.Type
	Version  string
	StateDir string // empty after a boot
	Bus      string // D-Bus address of systemd's bus; empty: the system's own
	Journal  string // socket of systemd's journal; empty: none
}

// Call is one execution of it: what the operating system hands to a process.
type Call struct {
	Args           []string // the program's name first
	Environ        []string
	Stdout, Stderr io.Writer
}

// Run performs one action and returns the exit code. The agent is named by the
// program's own name, which is a link then, or by the first argument.
func (p *Program) Run(ctx context.Context, c Call) (code Code) {
	var done outcome
	defer func() {
		// The runtime would exit with 2, which OCF reads as a reason to ban the node.
		if r := recover(); r != nil {
			code = Generic
			reason := fmt.Sprintf("internal error: %v; please report it", r)
			fmt.Fprintf(c.Stderr, "%s\nocf-exit-reason:%s\n", debug.Stack(), reason)
			done.failed(code, reason)
		}
	}()
	if len(c.Args) > 1 && c.Args[1] == "status" && !p.knows(filepath.Base(c.Args[0])) {
		if err := p.status(c.Args[2:], c.Stdout); err != nil {
			fmt.Fprintln(c.Stderr, err)
			return Generic
		}
		return Success
	}
	t, args, err := p.agent(c.Args)
	if err != nil {
		fmt.Fprintln(c.Stderr, err)
		p.writeTypes(c.Stderr)
		return Unimplemented
	}
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "meta-data", "metadata":
		if err := writeMetadata(c.Stdout, t, p.Version); err != nil {
			fmt.Fprintln(c.Stderr, err)
			return Generic
		}
		return Success
	case "help", "usage", "-h", "--help":
		writeHelp(c.Stdout, t, filepath.Base(c.Args[0]))
		return Success
	}
	e, envErr := parseEnviron(name, append(slices.Clone(c.Environ), assignments(args)...))
	journal := p.journal(t, e)
	done = outcome{log: slog.New(journal), action: e.action, began: time.Now()}
	err = p.act(ctx, t, e, envErr, slog.New(slog.NewMultiHandler(newText(c.Stderr), journal)))
	code = codeFor(e.action, err)
	switch {
	case err == nil || code == RunningPromoted:
		done.succeeded()
	case !e.action.probe() || code != NotRunning:
		fmt.Fprintf(c.Stderr, "%s%s\n", e.reasonPrefix, oneLine(err))
		done.failed(code, oneLine(err))
	}
	return code
}

// knows says whether the name is an agent's.
func (p *Program) knows(name string) bool {
	return slices.ContainsFunc(p.Types, func(t agents.Type) bool { return t.Name == name })
}

// agent finds out which agent is meant.
func (p *Program) agent(args []string) (agents.Type, []string, error) {
	if len(args) == 0 {
		return agents.Type{}, nil, errors.New("called without a name")
	}
	called, rest := filepath.Base(args[0]), args[1:]
	for range 2 {
		if i := slices.IndexFunc(p.Types, func(t agents.Type) bool { return t.Name == called }); i >= 0 {
			return p.Types[i], rest, nil
		}
		if len(rest) == 0 {
			break
		}
		called, rest = rest[0], rest[1:]
	}
	return agents.Type{}, nil, fmt.Errorf("usage: %s AGENT ACTION [NAME=VALUE ...], or %[1]s status [--output json]; there is no agent %[2]q", filepath.Base(args[0]), called)
}

func (p *Program) writeTypes(w io.Writer) {
	for _, t := range p.Types {
		fmt.Fprintf(w, "  %-10s %s\n", t.Name, t.Short)
	}
}

// assignments turns the NAME=VALUE arguments of a person into what a cluster
// manager would have put into the environment. OCF wants others ignored.
func assignments(args []string) []string {
	var pairs []string
	for _, arg := range args {
		if strings.Contains(arg, "=") {
			pairs = append(pairs, paramPrefix+arg)
		}
	}
	return pairs
}

// act runs the action within the time that the caller gives it.
func (p *Program) act(ctx context.Context, t agents.Type, e environ, envErr error, log *slog.Logger) error {
	a := e.action
	if !declared(t, a.name) {
		return fmt.Errorf("%w: %s", errAction, a.name)
	}
	if envErr != nil && !a.ends() {
		return envErr
	}
	if !a.glance() { // to catch signals takes as long as a whole look at an address
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
	}
	ctx, cancel := context.WithTimeout(ctx, a.time(t))
	defer cancel()

	units := unit.New(p.Bus, log)
	defer units.Close()
	agent := t.New(agents.Env{Kind: t.Name, Instance: e.instance, StateDir: p.StateDir, Units: units, Scores: e.scores(), Log: log})
	table := agent.Params()
	paramErr := table.Parse(e.values)
	if unknown := table.Unknown(e.values); unknown != nil {
		if a.name == "validate-all" {
			paramErr = errors.Join(paramErr, unknown)
		} else {
			log.Warn(oneLine(unknown))
		}
	}
	if os.Geteuid() != 0 && a.name != "validate-all" {
		return fmt.Errorf("%w: %s needs root", agents.ErrPermission, a.name)
	}
	switch a.name {
	case "start":
		if paramErr != nil {
			return paramErr
		}
		if err := agent.Validate(ctx, agents.DepthShallow); err != nil {
			return err
		}
		return agent.Start(ctx)
	case "stop":
		warnOf(paramErr, log)
		return agent.Stop(ctx)
	case "promote", "demote":
		return changeRole(ctx, agent, a, paramErr, log)
	case "monitor":
		return monitor(ctx, agent, a, paramErr)
	case "validate-all":
		if paramErr != nil {
			return paramErr
		}
		return agent.Validate(ctx, a.depth)
	case "reload-agent":
		if paramErr != nil {
			return paramErr
		}
		return agent.Reload(ctx)
	}
	return fmt.Errorf("%w: %s", errAction, a.name)
}

// changeRole is for agents that have roles.
func changeRole(ctx context.Context, agent agents.Agent, a action, paramErr error, log *slog.Logger) error {
	p, ok := agent.(agents.Promoter)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s", errAction, a.name)
	case a.name == "demote":
		warnOf(paramErr, log)
		return p.Demote(ctx)
	case paramErr != nil:
		return paramErr
	}
	if err := agent.Validate(ctx, agents.DepthShallow); err != nil {
		return err
	}
	return p.Promote(ctx)
}

// warnOf is for actions that go on with what parameters there are.
func warnOf(paramErr error, log *slog.Logger) {
	if paramErr != nil {
		log.Warn("going on in spite of bad parameters", "error", oneLine(paramErr))
	}
}

// monitor asks even with bad parameters: what they did not break may run.
func monitor(ctx context.Context, agent agents.Agent, a action, paramErr error) error {
	if paramErr == nil {
		return agent.Monitor(ctx, a.depth)
	}
	err := agent.Monitor(ctx, agents.DepthShallow)
	if errors.Is(err, agents.ErrNotRunning) {
		return paramErr
	}
	// Not [agents.ErrParameter]: that would stop the resource everywhere.
	bad := fmt.Errorf("something of the resource is here, but its parameters are bad: %s", oneLine(paramErr))
	if errors.As(err, new(agents.Promoted)) {
		return agents.Promoted{Err: bad}
	}
	return bad
}

// time is what the action may take: a little less than the caller allows, so
// that it is us who say what went wrong.
func (a action) time(t agents.Type) time.Duration {
	given := a.timeout
	if given == 0 {
		given = suggestedTimeout(t, a.name)
	}
	return given - min(time.Second, given/10)
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
