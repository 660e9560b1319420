// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
)

// fake is an agent that answers as told and notes what it was asked.
type fake struct {
	size     agents.Ports
	name     agents.Text
	err      error
	during   func(context.Context) error // instead of err
	calls    []string
	deadline time.Duration
	panics   bool
	says     string     // to its log
	level    slog.Level // of that
	log      *slog.Logger
}

func (f *fake) Params() agents.Table {
	return agents.Table{
		{Name: "name", Value: &f.name, Required: true, Unique: "name", Short: "A name", Long: "What it is called."},
		{Name: "ports", Value: &f.size, Reloadable: true, Short: "Some ports"},
	}
}

func (f *fake) note(ctx context.Context, call string) error {
	if f.panics {
		panic("a fault of ours")
	}
	f.calls = append(f.calls, call)
	if f.says != "" {
		f.log.Log(ctx, f.level, f.says)
	}
	if d, ok := ctx.Deadline(); ok {
		f.deadline = time.Until(d)
	}
	if f.during != nil {
		return f.during(ctx)
	}
	return f.err
}

func (f *fake) Start(ctx context.Context) error  { return f.note(ctx, "start") }
func (f *fake) Stop(ctx context.Context) error   { return f.note(ctx, "stop") }
func (f *fake) Reload(ctx context.Context) error { return f.note(ctx, "reload") }
func (f *fake) Monitor(ctx context.Context, d agents.Depth) error {
	return f.note(ctx, "monitor "+string(rune('0'+d/10)))
}
func (f *fake) Validate(ctx context.Context, d agents.Depth) error {
	return f.note(ctx, "validate "+string(rune('0'+d/10)))
}

// promotable is a fake that has roles.
type promotable struct{ *fake }

func (p promotable) Promote(ctx context.Context) error { return p.note(ctx, "promote") }
func (p promotable) Demote(ctx context.Context) error  { return p.note(ctx, "demote") }

// callPromotable runs the fake as the agent "thing", with roles.
func callPromotable(t *testing.T, f *fake, action string, environ ...string) (code Code, stderr string) {
	t.Helper()
	p := program(t, f)
	typ := &p.Types[0]
	typ.Actions = append(typ.Actions, agents.Action{Name: "promote", Timeout: 20 * time.Second}, agents.Action{Name: "demote", Timeout: 20 * time.Second})
	typ.New = func(env agents.Env) agents.Agent { f.log = env.Logger(); return promotable{f} }
	var out, errs bytes.Buffer
	code = p.Run(t.Context(), Call{Args: []string{"thing", action}, Environ: environ, Stdout: &out, Stderr: &errs})
	if out.Len() > 0 {
		t.Errorf("printed on standard output: %q", out.String())
	}
	return code, errs.String()
}

// call runs the fake as the agent "thing".
func call(t *testing.T, f *fake, args []string, environ ...string) (code Code, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = program(t, f).Run(t.Context(), Call{Args: args, Environ: environ, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

// program has the fake as its agent "thing".
func program(t *testing.T, f *fake) *Program {
	t.Helper()
	return &Program{
		Version:  "1.2.3",
		StateDir: t.TempDir(),
		Types: []agents.Type{{
			Name:  "thing",
			Short: "A thing",
			Long:  "Does what a thing does.\n\nAnd then some more of it, at such length that a line of text on a terminal has to be broken.",
			Actions: []agents.Action{
				{Name: "start", Timeout: 40 * time.Second},
				{Name: "stop", Timeout: 50 * time.Second},
				{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second},
				{Name: "monitor", Timeout: 30 * time.Second, Interval: time.Minute, Depth: agents.DepthTransaction},
				{Name: "reload-agent", Timeout: 20 * time.Second},
				{Name: "validate-all", Timeout: 20 * time.Second},
				{Name: "meta-data", Timeout: 5 * time.Second},
			},
			New: func(env agents.Env) agents.Agent { f.log = env.Logger(); return f },
		}},
	}
}

// reasons are the lines that the cluster manager takes as the reason.
func reasons(stderr string) []string {
	var found []string
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(line, "ocf-exit-reason:"); ok {
			found = append(found, strings.TrimSuffix(rest, "\n"))
		}
	}
	return found
}
