// SPDX-License-Identifier: Apache-2.0

package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/pacemaker"
	"github.com/mailha/mailha/resources"
)

// maxFile bounds what is read of a file, in bytes: more than a configuration may have.
const maxFile = 2 << 20

func (s *session) configCommand() *cobra.Command {
	return branch("config", "Show, check and change the configuration",
		s.showConfigCommand(), s.referenceCommand(), s.checkConfigCommand(), s.diffConfigCommand(), s.applyConfigCommand(), s.pacemakerCommand())
}

// read returns a file's text and what messages call it; "-" is standard input.
func (s *session) read(file string) (string, []byte, error) {
	in, name := s.in, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", nil, err
		}
		defer f.Close()
		in, name = f, filepath.Base(file)
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > maxFile {
		return "", nil, fmt.Errorf("%s has more than %d bytes: it is no mailha.toml", file, maxFile)
	}
	return name, data, nil
}

func (s *session) showConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the configuration that the cluster runs", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				text, err := c.Config(s.ctx)
				if err != nil {
					return err
				}
				return s.show(text, func(p *page) { p.WriteString(text.TOML) })
			})
		},
	}
}

func (s *session) referenceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reference", Short: "Print a file with every key, its default and what it is for; needs no mailhad", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text := resources.Reference()
			return s.show(struct {
				TOML string `json:"toml"`
			}{text}, func(p *page) { p.WriteString(text) })
		},
	}
}

func (s *session) checkConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say all that is wrong with a file; needs no mailhad", Args: cobra.ExactArgs(1), ValidArgsFunction: toml,
		RunE: func(_ *cobra.Command, args []string) error {
			name, data, err := s.read(args[0])
			if err != nil {
				return err
			}
			review := api.Review{Problems: []api.Place{}, Warnings: []api.Place{}, Changes: []api.ConfigEffect{}, Moves: []api.Difference{}}
			c, err := resources.Parse(name, data, s.kinds)
			var all resources.Problems
			switch {
			case errors.As(err, &all):
				review.Problems = placesOf(all)
			case err != nil:
				return err
			default:
				problems, warnings := fencing.CheckFile(s.ctx, name, data, c)
				review.Problems, review.Warnings = placesOf(problems), placesOf(append(c.Warnings, warnings...))
			}
			err = s.show(review, func(p *page) {
				p.places(review)
				if c != nil && !review.Refused() {
					count := 0
					for _, g := range c.Groups {
						count += len(g.Resources)
					}
					p.line("%s is good: %s, %s, %s", name, plural(len(c.Nodes), "node", "nodes"), plural(len(c.Groups), "group", "groups"), plural(count, "resource", "resources"))
				}
			})
			if err == nil && review.Refused() {
				return refused(review)
			}
			return err
		},
	}
}

func placesOf(all resources.Problems) []api.Place {
	out := []api.Place{}
	for _, p := range all {
		out = append(out, api.Place{File: p.File, Line: p.Line, Column: p.Column, What: p.What, Hint: p.Hint})
	}
	return out
}

func refused(r api.Review) error {
	if n := len(r.Problems); n > 0 {
		return fmt.Errorf("%s: it changes nothing", plural(n, "problem", "problems"))
	}
	return errors.New("this cannot be applied")
}

func (p *page) places(r api.Review) {
	for _, one := range r.Problems {
		p.place(p.paint(red, "error"), 5, one)
	}
	for _, one := range r.Warnings {
		p.place(p.paint(yellow, "warning"), 7, one)
	}
}

// place keeps the file and line in one piece, for editors.
func (p *page) place(head string, width int, one api.Place) {
	p.wrapped(head+" ", width+1, fmt.Sprintf("%s:%d: %s", one.File, one.Line, one.What))
	if one.Hint != "" {
		p.wrapped("  > ", 4, one.Hint)
	}
}

func (s *session) diffConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff FILE", Short: "Show what a file would start, stop, move and change", Args: cobra.ExactArgs(1), ValidArgsFunction: toml,
		RunE: func(_ *cobra.Command, args []string) error {
			name, data, err := s.read(args[0])
			if err != nil {
				return err
			}
			return s.with(func(c *api.Client) error {
				review, err := c.Review(s.ctx, api.ConfigChange{File: name, TOML: string(data)})
				if err != nil {
					return err
				}
				if err := s.show(review, func(p *page) { p.review(review) }); err != nil || !review.Refused() {
					return err
				}
				return refused(review)
			})
		},
	}
}

func (p *page) review(r api.Review) {
	p.places(r)
	if len(r.Problems) > 0 {
		return
	}
	if len(r.Changes) == 0 && len(r.Moves) == 0 {
		p.line("nothing changes")
	}
	for _, c := range r.Changes {
		colour := map[string]string{"refuse": red, "stop": red, "restart": yellow, "move": yellow, "start": green}[c.Effect]
		head := fmt.Sprintf("%-8s", c.Effect)
		p.wrapped(p.paint(colour, head), len(head), c.What)
	}
	for _, d := range r.Moves {
		p.wrapped(p.paint(yellow, "move    "), 8, effect(d))
	}
}

func (s *session) applyConfigCommand() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use: "apply FILE", Short: "Make a file the configuration of the whole cluster", Args: cobra.ExactArgs(1), ValidArgsFunction: toml,
		RunE: func(_ *cobra.Command, args []string) error {
			name, data, err := s.read(args[0])
			if err != nil {
				return err
			}
			return s.with(func(c *api.Client) error {
				change := api.ConfigChange{File: name, TOML: string(data), Force: force}
				review, err := c.Review(s.ctx, change)
				if err != nil {
					return err
				}
				if s.output == outputText || review.Refused() {
					p := s.page()
					p.review(review)
					out := s.out
					if s.output == outputJSON {
						out = s.err
					}
					fmt.Fprint(out, p.String())
				}
				if review.Refused() {
					return refused(review)
				}
				if args[0] == "-" && !yes {
					return errors.New("standard input is the file, so that nothing can be asked: --yes says yes beforehand")
				}
				if err := s.sure(yes || len(review.Changes) == 0, "Is the cluster to run this configuration?"); err != nil {
					return err
				}
				change.Revision = review.Revision
				return s.ask(c, waiting{}, func() (api.Done, error) {
					done, err := c.Apply(s.ctx, change)
					if s.output == outputText {
						done.Effects = nil // as was said before
					}
					return done, err
				}, nil)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&force, "force", false, "though a group will run nowhere then, or a node runs another version")
	return c
}

func (s *session) pacemakerCommand() *cobra.Command {
	var pcs bool
	c := &cobra.Command{
		Use: "pacemaker FILE", Short: "Print what has Pacemaker run the same file; needs no mailhad", Args: cobra.ExactArgs(1), ValidArgsFunction: toml,
		RunE: func(_ *cobra.Command, args []string) error {
			name, data, err := s.read(args[0])
			if err != nil {
				return err
			}
			c, err := resources.Parse(name, data, s.kinds)
			if err != nil {
				var all resources.Problems
				if errors.As(err, &all) {
					p := s.page()
					p.places(api.Review{Problems: placesOf(all)})
					fmt.Fprint(s.err, p.String())
					return fmt.Errorf("%s cannot be used", name)
				}
				return err
			}
			form := pacemaker.Crmsh
			if pcs {
				form = pacemaker.PCS
			}
			text, err := pacemaker.Write(c, s.Types, form)
			if err != nil {
				return err
			}
			return s.show(struct {
				Form pacemaker.Form `json:"form"`
				Text string         `json:"text"`
			}{form, text}, func(p *page) { p.WriteString(text) })
		},
	}
	c.Flags().BoolVar(&pcs, "pcs", false, "as a shell script for pcs, not a file for crmsh")
	return c
}
