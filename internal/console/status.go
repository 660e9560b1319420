// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

func (s *session) statusCommand() *cobra.Command {
	var watch, code bool
	c := &cobra.Command{
		Use: "status", Short: "Show the cluster, what is wrong with it, and what to do", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				if watch {
					return s.watch(c)
				}
				st, err := c.Status(s.ctx)
				if err != nil {
					return err
				}
				if err := s.show(st, func(p *page) { p.status(st) }); err != nil {
					return err
				}
				if code && st.Health != api.OK {
					return errNotWell
				}
				return nil
			})
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing it as it changes")
	c.Flags().BoolVar(&code, "exit-code", false, "exit with 4 if there is an error or a warning")
	c.MarkFlagsMutuallyExclusive("watch", "exit-code")
	return c
}

// watch shows each status: on a terminal in the place of the last one, elsewhere
// when more than the time has changed.
func (s *session) watch(c *api.Client) error {
	last := ""
	err := c.Watch(s.ctx, func(st api.Status) error {
		if s.output == outputJSON {
			return json.NewEncoder(s.out).Encode(st)
		}
		now := fmt.Sprint(st.Revision, st.Stale, st.Health, len(st.Problems))
		if now == last && !s.screen.Terminal {
			return nil
		}
		p := s.page()
		switch {
		case s.screen.Terminal:
			p.WriteString("\x1b[H\x1b[2J\x1b[3J") // home, and nothing on the screen or above it
		case last != "":
			p.line("")
		}
		last = now
		p.status(st)
		_, err := io.WriteString(s.out, p.String())
		return err
	})
	if s.ctx.Err() != nil {
		return nil // the operator has seen enough
	}
	return err
}

func (p *page) status(st api.Status) {
	p.headline(st)
	p.problems(st.Problems)
	if len(st.Nodes) > 0 {
		p.line("")
		p.nodes(st.Nodes)
	}
	if len(st.Groups) > 0 {
		p.line("")
		p.groups(st.Groups)
	}
}

func (p *page) headline(st api.Status) {
	if st.Cluster == "" {
		st.Cluster = "no cluster"
	}
	counts := map[api.Severity]int{}
	for _, one := range st.Problems {
		counts[one.Severity]++
	}
	var parts []string
	if n := counts[api.SeverityError]; n > 0 {
		parts = append(parts, p.paint(red, plural(n, "error", "errors")))
	}
	if n := counts[api.SeverityWarning]; n > 0 {
		parts = append(parts, p.paint(yellow, plural(n, "warning", "warnings")))
	}
	if len(parts) == 0 {
		parts = []string{p.paint(green, "all is well")}
	}
	p.line("%s, as %s sees it: %s", p.paint(bold, st.Cluster), st.Node, list(parts))
}

func (p *page) problems(all []api.Problem) {
	const width = 10
	for _, one := range all {
		colour := map[api.Severity]string{api.SeverityError: red, api.SeverityWarning: yellow, api.SeverityNote: faint}[one.Severity]
		head := fmt.Sprintf("  %-*s", width-2, one.Severity)
		p.wrapped(p.paint(colour, head), width, one.What)
		if one.Hint != "" {
			p.wrapped(strings.Repeat(" ", width)+"> ", width+2, one.Hint)
		}
	}
}

func (p *page) nodes(all []api.Node) {
	rows := []row{{[]string{"NODE", "STATE", "SINCE", "GROUPS"}, bold}}
	for _, n := range all {
		groups := dash(strings.Join(n.Groups, " "))
		if n.Witness {
			groups = "(witness)"
		}
		colour := ""
		if n.State != api.Online {
			colour = yellow
		}
		rows = append(rows, row{[]string{n.Name, string(n.State), p.since(n.Since), groups}, colour})
	}
	p.table(rows)
}

func (p *page) groups(all []api.Group) {
	rows := []row{{[]string{"GROUP", "NODE", "STATE", "SINCE", ""}, bold}}
	for _, g := range all {
		colour, phase := "", g.Phase
		switch {
		case g.Lost:
			colour, phase = red, "lost"
		case phase != "running":
			colour = yellow
		}
		rows = append(rows, row{[]string{g.Name, dash(g.Node), phase, p.since(g.Since), ""}, colour})
		for _, r := range g.Resources {
			rows = append(rows, row{[]string{"  " + r.Name, dash(r.Node), r.Phase, p.since(r.Since), about(r)}, shade(r)})
		}
	}
	p.table(rows)
}

func shade(r api.Resource) string {
	switch r.Phase {
	case "started", "stopped":
		return ""
	case "failed":
		return red
	}
	return yellow
}

// about is the rest that a person wants to know of a resource at a glance.
func about(r api.Resource) string {
	var parts []string
	if r.Sessions > 0 {
		parts = append(parts, plural(r.Sessions, "session", "sessions"))
	}
	if r.Work > 0 {
		parts = append(parts, plural(r.Work, "task", "tasks"))
	}
	if r.Left > 0 {
		parts = append(parts, fmt.Sprintf("%.0fs at most", r.Left))
	}
	if r.Wished != "" {
		parts = append(parts, map[string]string{api.WishedStopped: "is to be stopped", api.WishedRestart: "is to be restarted"}[r.Wished])
	}
	if r.Failures > 0 {
		parts = append(parts, "failed "+plural(r.Failures, "time", "times"))
	}
	if r.Phase != "started" && r.Detail != "" {
		parts = append(parts, r.Detail)
	}
	if len(r.Addresses) > 0 {
		parts = append(parts, strings.Join(r.Addresses, " "))
	}
	if len(r.Warm) > 0 {
		parts = append(parts, "warm on "+strings.Join(r.Warm, " "))
	}
	return strings.Join(parts, ", ")
}

// remaining is what a drain still waits for.
func remaining(r api.Resource) string {
	var parts []string
	if r.Sessions > 0 {
		parts = append(parts, plural(r.Sessions, "session", "sessions"))
	}
	if r.Work > 0 {
		parts = append(parts, plural(r.Work, "task", "tasks"))
	}
	text := ""
	if len(parts) > 0 {
		text = list(parts) + " left"
	}
	if r.Left > 0 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%.0fs at most", r.Left)
	}
	return text
}
