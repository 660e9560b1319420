// SPDX-License-Identifier: Apache-2.0

package console

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

func (s *session) eventsCommand() *cobra.Command {
	var most int
	c := &cobra.Command{
		Use: "events", Short: "Show what happened, and who asked for it", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				all, err := c.Events(s.ctx, most)
				if err != nil {
					return err
				}
				if all.Fault != "" && s.output == outputText {
					fmt.Fprintln(s.err, "mailhactl: "+all.Fault)
				}
				return s.show(all, func(p *page) { p.events(all.Events) })
			})
		},
	}
	c.Flags().IntVarP(&most, "lines", "n", 50, "how many, from 1 to 1000")
	return c
}

func (p *page) events(all []api.Event) {
	const width = 21
	for _, e := range all {
		text := e.What
		if about := cmp.Or(e.Resource, e.Group); about != "" && !strings.Contains(text, about) {
			text = about + ": " + text
		}
		if e.Node != "" && !strings.Contains(text, e.Node) {
			text = e.Node + ": " + text
		}
		if e.By != "" && !strings.Contains(text, e.By) {
			text += " (" + e.By + ")"
		}
		p.wrapped(p.paint(faint, e.At.Local().Format("2006-01-02 15:04:05"))+"  ", width, text)
	}
}

func (s *session) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain GROUP | RESOURCE", Short: "Say why it is where it is, or why it does not run", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(anything),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				e, err := c.Explain(s.ctx, args[0])
				if err != nil {
					return err
				}
				return s.show(e, func(p *page) { p.explanation(e) })
			})
		},
	}
}

func (p *page) explanation(e api.Explanation) {
	for _, one := range e.Sentences {
		p.wrapped("- ", 2, one)
	}
	if len(e.Problems) > 0 {
		p.line("")
		p.problems(e.Problems)
	}
	p.line("")
	rows := []row{{[]string{"NODE", "CHOICE", "LOAD", "CAN RUN GROUP " + e.Group.Name}, bold}}
	for _, n := range e.Nodes {
		can := "yes"
		if n.Node == e.Group.Node {
			can = "yes, and has it"
		}
		if n.Why != "" {
			can = "no: " + n.Why
		}
		rows = append(rows, row{[]string{n.Node, fmt.Sprint(n.Rank + 1), fmt.Sprint(n.Load), can}, ""})
	}
	p.table(rows)
	if len(e.Failures) > 0 {
		p.line("")
		rows = []row{{[]string{"FAILED", "RESOURCE", "NODE"}, bold}}
		for _, f := range e.Failures {
			rows = append(rows, row{[]string{p.since(f.At) + " ago", f.Resource, f.Node}, ""})
		}
		p.table(rows)
	}
}

func (s *session) planCommand() *cobra.Command {
	return &cobra.Command{
		Use: "plan", Short: "Show what the cluster means to do, and why", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				plan, err := c.Plan(s.ctx)
				if err != nil {
					return err
				}
				return s.show(plan, func(p *page) { p.plan(plan) })
			})
		},
	}
}

func (p *page) plan(plan api.Plan) {
	idle := true
	for _, d := range plan.Decisions {
		idle = idle && d.Action == "keep"
	}
	if idle {
		p.line("nothing is to be done")
	}
	for _, d := range plan.Decisions {
		colour := yellow
		if d.Action == "keep" {
			colour = ""
		}
		head := fmt.Sprintf("%-6s", d.Action)
		p.wrapped(p.paint(colour, head), len(head), fmt.Sprintf("group %s: %s", d.Group, way(d)+d.Reason))
	}
	if !plan.Again.IsZero() {
		p.line("It is looked at again by %s, or when something happens.", plan.Again.Local().Format("15:04:05"))
	}
}

// way is from where to where a decision leads.
func way(d api.Decision) string {
	text := ""
	switch {
	case d.From != "" && d.Node != "" && d.From != d.Node:
		text = d.From + " -> " + d.Node + ", "
	case d.Action == "start":
		text = "-> " + d.Node + ", "
	}
	if !d.NotBefore.IsZero() {
		text += "not before " + d.NotBefore.Local().Format("15:04:05") + ", "
	}
	return text
}

func (s *session) whatIfCommand() *cobra.Command {
	var subs []*cobra.Command
	for _, what := range []struct{ name, short string }{
		{"node-down", "Show where groups would go if a node were lost"},
		{"node-up", "Show where groups would go if a node came back"},
		{"node-standby", "Show where groups would go if a node were on standby"},
	} {
		subs = append(subs, &cobra.Command{
			Use: what.name + " NODE", Short: what.short, Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(nodes),
			RunE: func(_ *cobra.Command, args []string) error {
				return s.with(func(c *api.Client) error {
					w, err := c.WhatIf(s.ctx, what.name, args[0])
					if err != nil {
						return err
					}
					return s.show(w, func(p *page) { p.whatIf(w) })
				})
			},
		})
	}
	return branch("what-if", "Show what would become of the groups; nothing is changed", subs...)
}

func (p *page) whatIf(w api.WhatIf) {
	if len(w.Differences) == 0 {
		p.line("If %s, every group would stay where it is.", w.If)
		return
	}
	p.line("If %s:", w.If)
	for _, d := range w.Differences {
		p.wrapped("  ", 2, effect(d))
	}
}
