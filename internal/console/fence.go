// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

// fenceCommand has a node switched off by its fence devices.
func (s *session) fenceCommand() *cobra.Command {
	var w wish
	var wait waiting
	var yes bool
	c := &cobra.Command{
		Use: "fence NODE", Short: "Have a node switched off by its fence devices, whatever it runs", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.sure(yes, fmt.Sprintf("%s is cut off at once, like by a power cut. Is that what you want?", args[0])); err != nil {
				return err
			}
			return s.with(func(c *api.Client) error {
				before, err := c.Status(s.ctx)
				if err != nil {
					return err
				}
				return s.ask(c, wait, func() (api.Done, error) { return c.Ask(s.ctx, api.Path("nodes", args[0], "fence"), w.change()) },
					func(api.Done) goal { return fenceGoal{args[0], fencingOf(before, args[0])} })
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	w.flagWhy(c)
	wait.flags(c)
	confirm := s.fencedCommand()
	confirm.Use, confirm.Short = "confirm NODE", "Say that a lost node is switched off: the same as node fenced"
	c.AddCommand(confirm, s.historyCommand())
	return c
}

// historyCommand lists what was fenced.
func (s *session) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Short: "Show which nodes were fenced, when and by what", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				st, err := c.Status(s.ctx)
				if err != nil {
					return err
				}
				all := map[string]api.Fencing{}
				for _, n := range st.Nodes {
					if n.Fencing != nil {
						all[n.Name] = *n.Fencing
					}
				}
				return s.show(all, func(p *page) { p.history(st) })
			})
		},
	}
}

func (p *page) history(st api.Status) {
	none := true
	for _, n := range st.Nodes {
		f := n.Fencing
		if f == nil {
			continue
		}
		none = false
		p.wrapped("", 0, fmt.Sprintf("%s: %s", n.Name, lastShot(*f)))
		for _, at := range slices.Backward(f.Times) {
			p.wrapped("  ", 2, "off at "+at.Local().Format(time.DateTime))
		}
	}
	if none {
		p.line("no node was ever fenced")
	}
}

// lastShot says in words how the latest attempt went.
func lastShot(f api.Fencing) string {
	at := f.Since.Local().Format(time.DateTime)
	switch f.Phase {
	case "shooting":
		return "being fenced by " + f.By + " since " + at + colon(f.Why)
	case "off":
		return "fenced by " + f.By + " at " + at + colon(f.Why)
	case "missed":
		return fmt.Sprintf("could not be fenced by %s at %s, tried %d in a row%s", f.By, at, f.Tries, colon(f.Why))
	}
	return "not fenced by " + f.By + " at " + at + colon(f.Why)
}

// fenceGoal is a node that is to be switched off.
type fenceGoal struct {
	node   string
	before api.Fencing // how it was when it was asked for
}

func fencingOf(s api.Status, node string) api.Fencing {
	i := slices.IndexFunc(s.Nodes, func(n api.Node) bool { return n.Name == node })
	if i < 0 || s.Nodes[i].Fencing == nil {
		return api.Fencing{}
	}
	return *s.Nodes[i].Fencing
}

func (g fenceGoal) reached(s api.Status) (bool, string, error) {
	now := fencingOf(s, g.node)
	waits := wished(s, "fence", "", g.node)
	fresh := now.Phase != g.before.Phase || !now.Since.Equal(g.before.Since)
	switch {
	case fresh && now.Phase == "off":
		return true, g.node + " is off" + colon(now.Why), nil
	case fresh && now.Phase == "missed" && !waits:
		return false, "", fmt.Errorf("%s could not be fenced: %s", g.node, strings.TrimSuffix(now.Why, "."))
	case fresh && now.Phase == "shooting":
		return false, g.node + " is being fenced by " + now.By, nil
	case !waits:
		return false, "", fmt.Errorf("%s was not fenced: nobody could do it in time", g.node)
	}
	return false, "nobody has begun to fence " + g.node + " yet", nil
}

func (fenceGoal) about(api.Status) []api.Resource { return nil }
