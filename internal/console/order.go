// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

// wish are the flags of what operators ask for.
type wish struct {
	why   string
	lasts time.Duration
	force bool
}

func (w *wish) flagWhy(c *cobra.Command) {
	c.Flags().StringVar(&w.why, "why", "", "for others to read")
}

func (w *wish) flagFor(c *cobra.Command, usage string) {
	c.Flags().DurationVar(&w.lasts, "for", 0, usage)
}

func (w *wish) flagForce(c *cobra.Command) {
	c.Flags().BoolVar(&w.force, "force", false, "though something will not run then")
}

func (w *wish) change() api.Change {
	return api.Change{Why: w.why, For: w.lasts.Seconds(), Force: w.force}
}

func branch(name, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short}
	c.AddCommand(subs...)
	return c
}

func (s *session) groupCommand() *cobra.Command {
	return branch("group", "Move, ban, stop and start groups",
		s.moveCommand(), s.banCommand(), s.unbanCommand(), s.stopGroupCommand(), s.startGroupCommand(), s.releaseCommand())
}

func (s *session) moveCommand() *cobra.Command {
	var w wish
	var wait waiting
	var cancel bool
	c := &cobra.Command{
		Use: "move GROUP [NODE]", Short: "Move a group to a node, or to the best of the others", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: s.complete(groups, nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			path := api.Path("groups", args[0], "move")
			return s.with(func(c *api.Client) error {
				if cancel {
					return s.ask(c, wait, func() (api.Done, error) { return c.Undo(s.ctx, path) }, nil)
				}
				change := w.change()
				if len(args) > 1 {
					change.Node = args[1]
				}
				return s.ask(c, wait, func() (api.Done, error) { return c.Ask(s.ctx, path, change) }, func(d api.Done) goal {
					g := groupGoal{group: args[0], node: d.Node}
					if !d.Already {
						g.kind = "move"
					}
					return g
				})
			})
		},
	}
	w.flagWhy(c)
	w.flagForce(c)
	w.flagFor(c, "how long it is tried (default 1h)")
	wait.flags(c)
	c.Flags().BoolVar(&cancel, "cancel", false, "take back a move that has not happened yet")
	return c
}

func (s *session) banCommand() *cobra.Command {
	var w wish
	c := &cobra.Command{
		Use: "ban GROUP NODE", Short: "Keep a group off a node", Args: cobra.ExactArgs(2), ValidArgsFunction: s.complete(groups, nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) {
					return c.Ask(s.ctx, api.Path("groups", args[0], "bans", args[1]), w.change())
				}, nil)
			})
		},
	}
	w.flagWhy(c)
	w.flagForce(c)
	w.flagFor(c, "how long it lasts (default: until unban)")
	return c
}

func (s *session) unbanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unban GROUP [NODE]", Short: "Let a group on a node again, or on all", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: s.complete(groups, nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				path := append([]string{"groups", args[0], "bans"}, args[1:]...)
				return s.ask(c, waiting{}, func() (api.Done, error) { return c.Undo(s.ctx, api.Path(path...)) }, nil)
			})
		},
	}
}

func (s *session) stopGroupCommand() *cobra.Command {
	var w wish
	var wait waiting
	c := &cobra.Command{
		Use: "stop GROUP", Short: "Stop a group, and keep it stopped", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(groups),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, wait, func() (api.Done, error) { return c.Ask(s.ctx, api.Path("groups", args[0], "stop"), w.change()) },
					func(api.Done) goal { return groupGoal{group: args[0], stop: true} })
			})
		},
	}
	w.flagWhy(c)
	w.flagFor(c, "how long it stays stopped (default: until start)")
	wait.flags(c)
	return c
}

func (s *session) startGroupCommand() *cobra.Command {
	var wait waiting
	c := &cobra.Command{
		Use: "start GROUP", Short: "Let a group run that was stopped, and try again what failed", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(groups),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, wait, func() (api.Done, error) { return c.Undo(s.ctx, api.Path("groups", args[0], "stop")) },
					func(api.Done) goal { return groupGoal{group: args[0]} })
			})
		},
	}
	wait.flags(c)
	return c
}

func (s *session) releaseCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "release GROUP", Short: "Say that nothing of a group runs anywhere, so that it may start elsewhere", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.complete(groups),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.sure(yes, fmt.Sprintf("If anything of group %s still runs on any node, its data will be destroyed. Does nothing of it run?", args[0])); err != nil {
				return err
			}
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) {
					return c.Ask(s.ctx, api.Path("groups", args[0], "release"), api.Change{})
				}, nil)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (s *session) nodeCommand() *cobra.Command {
	return branch("node", "Have nodes run nothing, or take part again", s.standbyCommand(), s.onlineCommand(), s.fencedCommand())
}

func (s *session) standbyCommand() *cobra.Command {
	var w wish
	var wait waiting
	c := &cobra.Command{
		Use: "standby NODE", Short: "Have a node run nothing; its groups go elsewhere", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, wait, func() (api.Done, error) { return c.Ask(s.ctx, api.Path("nodes", args[0], "standby"), w.change()) },
					func(api.Done) goal { return emptyGoal{args[0]} })
			})
		},
	}
	w.flagWhy(c)
	w.flagForce(c)
	w.flagFor(c, "how long it lasts (default: until online)")
	wait.flags(c)
	return c
}

func (s *session) onlineCommand() *cobra.Command {
	return &cobra.Command{
		Use: "online NODE", Short: "Let a node run groups again that was on standby", Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) { return c.Undo(s.ctx, api.Path("nodes", args[0], "standby")) }, nil)
			})
		},
	}
}

func (s *session) fencedCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "fenced NODE", Short: "Say that a lost node is switched off, so that its groups start elsewhere", Args: cobra.ExactArgs(1),
		ValidArgsFunction: s.complete(nodes),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.sure(yes, fmt.Sprintf("If %s is not off, the data of its groups will be destroyed. Is it off?", args[0])); err != nil {
				return err
			}
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) {
					return c.Ask(s.ctx, api.Path("nodes", args[0], "fenced"), api.Change{})
				}, nil)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (s *session) resourceCommand() *cobra.Command {
	return branch("resource", "Stop, start and restart single resources; nothing else is touched",
		s.onResource("stop", "Stop a resource, and keep it stopped", true), s.onResource("start", "Let a resource run that was stopped, or try it again after it failed", false),
		s.onResource("restart", "Restart a resource where it runs", false))
}

// onResource is a command about one resource.
func (s *session) onResource(verb, short string, down bool) *cobra.Command {
	var w wish
	var wait waiting
	c := &cobra.Command{
		Use: verb + " RESOURCE", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: s.complete(resourceNames),
		RunE: func(_ *cobra.Command, args []string) error {
			return s.with(func(c *api.Client) error {
				before, err := c.Status(s.ctx)
				if err != nil {
					return err
				}
				goalOf := func(api.Done) goal {
					r, _, err := resourceOf(before, args[0])
					if err != nil {
						r = api.Resource{} // it is new: nothing of it has failed
					}
					return resourceGoal{resource: args[0], down: down, again: verb == "restart", before: r}
				}
				return s.ask(c, wait, func() (api.Done, error) {
					if verb == "start" {
						return c.Undo(s.ctx, api.Path("resources", args[0], "stop"))
					}
					return c.Ask(s.ctx, api.Path("resources", args[0], verb), w.change())
				}, goalOf)
			})
		},
	}
	if verb != "start" {
		w.flagWhy(c)
	}
	if down {
		w.flagFor(c, "how long it stays stopped (default: until start)")
	}
	wait.flags(c)
	return c
}

func (s *session) failuresCommand() *cobra.Command {
	return branch("failures", "Forget failures that were mended", &cobra.Command{
		Use: "forget [GROUP | RESOURCE]", Short: "Forget the failures of a group or resource, or all", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: s.complete(anything),
		RunE: func(_ *cobra.Command, args []string) error {
			var change api.Change
			if len(args) > 0 {
				change.Name = args[0]
			}
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) { return c.Ask(s.ctx, api.Path("failures", "forget"), change) }, nil)
			})
		},
	})
}

func (s *session) maintenanceCommand() *cobra.Command {
	var w wish
	on := &cobra.Command{
		Use: "on --for TIME", Short: "Have the cluster start, stop, move and repair nothing for a while", Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if w.lasts <= 0 {
				s.ran = false
				return errors.New("maintenance needs an end: --for 2h")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) { return c.Ask(s.ctx, api.Path("maintenance"), w.change()) }, nil)
			})
		},
	}
	w.flagWhy(on)
	w.flagFor(on, "how long it lasts, such as 2h")
	off := &cobra.Command{
		Use: "off", Short: "End it", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				return s.ask(c, waiting{}, func() (api.Done, error) { return c.Undo(s.ctx, api.Path("maintenance")) }, nil)
			})
		},
	}
	return branch("maintenance", "Have the cluster leave everything alone for a while", on, off)
}
