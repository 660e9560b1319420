// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

// names of things in a status, for completion.
func nodes(s api.Status) []string {
	var all []string
	for _, n := range s.Nodes {
		if !n.Witness {
			all = append(all, n.Name)
		}
	}
	return all
}

func groups(s api.Status) []string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, g.Name)
	}
	return all
}

func resourceNames(s api.Status) []string {
	var all []string
	for _, g := range s.Groups {
		for _, r := range g.Resources {
			all = append(all, r.Name)
		}
	}
	return all
}

func anything(s api.Status) []string {
	all := append(groups(s), resourceNames(s)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// complete asks the daemon for the names that an argument may be, one function
// for each place.
func (s *session) complete(places ...func(api.Status) []string) cobra.CompletionFunc {
	const patience = time.Second // somebody waits with a finger on the key
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		var all []string
		err := s.with(func(c *api.Client) error {
			st, err := c.Status(ctx)
			all = places[len(args)](st)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// toml completes the names of configuration files.
func toml(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"toml"}, cobra.ShellCompDirectiveFilterFileExt
}
