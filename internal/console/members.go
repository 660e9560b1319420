// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/quorum"
)

// member is one of etcd's, as scripts are told of it.
type member struct {
	Name    string `json:"name"`
	State   string `json:"state"` // leader, follower, learner, lost or silent
	URL     string `json:"url,omitempty"`
	Size    int64  `json:"size,omitempty"` // of its database, in bytes
	Version string `json:"version,omitempty"`
	Why     string `json:"why,omitempty"` // of lost and silent
}

func memberOf(c quorum.Condition) member {
	m := member{Name: c.Name, URL: c.Client, Size: c.Size, Version: c.Version, State: "follower"}
	switch {
	case c.Err != nil:
		m.State, m.Why = "silent", c.Err.Error()
	case c.Lost:
		m.State, m.Why = "lost", "it knows of no leader, so most of the others do not reach it"
	case c.Leads:
		m.State = "leader"
	case c.Learner:
		m.State = "learner"
	}
	return m
}

func (s *session) membersCommand() *cobra.Command {
	var h home
	c := &cobra.Command{
		Use: "members", Short: "Show the members of etcd, and which one leads", Args: cobra.NoArgs,
		Long: "It asks etcd itself, whether mailhad runs here or not.",
		RunE: func(*cobra.Command, []string) error {
			_, client, err := s.dial(h)
			if err != nil {
				return err
			}
			defer client.Close()
			const patience = 8 * time.Second
			ctx, cancel := context.WithTimeout(s.ctx, patience)
			defer cancel()
			found, err := quorum.Conditions(ctx, client)
			if err != nil {
				return err
			}
			all := []member{}
			for _, f := range found {
				all = append(all, memberOf(f))
			}
			return s.show(all, func(p *page) { p.members(all) })
		},
	}
	h.flags(c)
	return c
}

func (p *page) members(all []member) {
	rows := []row{{[]string{"MEMBER", "STATE", "DATA", "ETCD", "REACHED AT"}, bold}}
	for _, m := range all {
		size := "-"
		if m.Version != "" {
			const mega = 1 << 20
			size = fmt.Sprintf("%.1f MB", float64(m.Size)/mega)
		}
		colour := ""
		if m.Why != "" {
			colour = yellow
		}
		rows = append(rows, row{[]string{dash(m.Name), m.State, size, dash(m.Version), dash(m.URL)}, colour})
	}
	p.table(rows)
	for _, m := range all {
		if m.Why != "" {
			p.wrapped("", 0, dash(m.Name)+" is "+m.State+": "+m.Why)
		}
	}
}
