// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

func (s *session) snapshotCommand() *cobra.Command {
	var h home
	c := &cobra.Command{
		Use: "snapshot FILE", Short: "Save what the cluster has agreed on in a file", Args: cobra.ExactArgs(1),
		Long: "Saves the configuration that the cluster runs, who owns each group, what operators have asked for, and the events. Keep the file on another machine, and " + DefaultFile + " with the certificates beside it as well.",
		RunE: func(_ *cobra.Command, args []string) error {
			const patience = time.Minute
			ctx, cancel := context.WithTimeout(s.ctx, patience)
			defer cancel()
			cluster, client, err := s.dial(h)
			if err != nil {
				return err
			}
			defer client.Close()
			store, err := state.Open(client, state.Options{Cluster: cluster.Name, Log: s.quiet()})
			if err != nil {
				return err
			}
			if err := store.Save(ctx, args[0], nil); err != nil {
				return err
			}
			saved, err := state.ReadSaved(args[0])
			if err != nil {
				return err
			}
			return s.show(toldOf(saved), func(p *page) {
				p.wrapped("", 0, fmt.Sprintf("The state of cluster %s, of %s, is in %s.", saved.Cluster, count(len(saved.Groups), "group"), args[0]))
			})
		},
	}
	h.flags(c)
	return c
}

// told is a saved state for programs.
type told struct {
	Cluster string    `json:"cluster"`
	At      time.Time `json:"at"`
	Groups  []string  `json:"groups"`
}

func toldOf(saved state.Saved) told {
	t := told{Cluster: saved.Cluster, At: saved.At, Groups: []string{}}
	for _, g := range saved.Groups {
		t.Groups = append(t.Groups, g.Name)
	}
	return t
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (s *session) restoreCommand() *cobra.Command {
	var h home
	var yes bool
	c := &cobra.Command{
		Use: "restore FILE", Short: "Make a new cluster of this node that has a saved state", Args: cobra.ExactArgs(1),
		Long: "For the night on which all nodes have lost what the cluster had agreed on, or on which all of it is to be put back to an earlier time. mailhad must be stopped on all nodes, and no etcd data may be here. Nothing starts before every node has come back, or is known to be off.",
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := s.restoring(h, args[0])
			if err != nil {
				return err
			}
			p := s.page()
			s.outlook(p, r.Saved)
			fmt.Fprint(s.err, p.String())
			question := fmt.Sprintf("Everything that cluster %s has agreed on since then is forgotten. The services' own data, such as mail, are not touched. mailhad must be stopped on all nodes. Restore it?", r.Saved.Cluster)
			if err := s.sure(yes, question); err != nil {
				return err
			}
			const patience = 2 * time.Minute
			ctx, cancel := context.WithTimeout(s.ctx, patience)
			defer cancel()
			newAuthority, err := r.Restore(ctx)
			if err != nil {
				return err
			}
			return s.show(toldOf(r.Saved), func(p *page) { next(p, r, newAuthority) })
		},
	}
	h.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// restoring is what a file would make of the cluster.
func (s *session) restoring(h home, file string) (enrol.Restoring, error) {
	cluster, node, err := s.load(h)
	if err != nil {
		return enrol.Restoring{}, err
	}
	saved, err := state.ReadSaved(file)
	if err != nil {
		return enrol.Restoring{}, err
	}
	if saved.Cluster != cluster.Name {
		return enrol.Restoring{}, fmt.Errorf("%s is of the cluster %s, and %s of %s", file, saved.Cluster, h.file, cluster.Name)
	}
	then := cluster
	if saved.Config.TOML != "" {
		if then, err = resources.Parse("the configuration in "+filepath.Base(file), []byte(saved.Config.TOML), s.kinds); err != nil {
			return enrol.Restoring{}, err
		}
	}
	if _, ok := then.Node(node.Name); !ok {
		return enrol.Restoring{}, fmt.Errorf("the cluster in %s has no node %s yet: restore it on one of %s", file, node.Name, strings.Join(runners(then), ", "))
	}
	return enrol.Restoring{
		Cluster: cluster, Node: node, Saved: saved, By: caller(), StateDir: filepath.Dir(s.socket), Log: s.quiet(),
		Unheard: slices.Concat(runners(cluster), runners(then)),
	}, nil
}

// runners are the nodes that may run groups.
func runners(c *resources.Cluster) []string {
	var names []string
	for _, n := range c.Nodes {
		if !n.Witness {
			names = append(names, n.Name)
		}
	}
	return names
}

// outlook says what comes back and what does not.
func (s *session) outlook(p *page, saved state.Saved) {
	p.wrapped("", 0, fmt.Sprintf("The state of cluster %s as of %s, %s ago:", saved.Cluster, saved.At.Local().Format(time.DateTime), span(s.Now().Sub(saved.At))))
	if saved.Config.TOML == "" {
		p.line("  without a configuration: each node's own file counts")
	} else {
		p.wrapped("  ", 2, fmt.Sprintf("the configuration that %s had put there at %s", saved.Config.By, saved.Config.Since.Local().Format(time.DateTime)))
	}
	p.wrapped("  ", 2, strings.Join(append([]string{count(len(saved.Groups), "group") + ":"}, toldOf(saved).Groups...), " "))
	back, over := saved.Returns(s.Now())
	for _, w := range back {
		p.wrapped("  in force again: ", 18, w.String()+", which "+w.By+" had asked for")
	}
	for _, w := range over {
		p.wrapped("  forgotten: ", 13, w.String()+", which "+w.By+" had asked for")
	}
}

// next says what to do after a restore.
func next(p *page, r enrol.Restoring, newAuthority bool) {
	p.wrapped("", 0, fmt.Sprintf("Cluster %s is restored. Now, on each node:", r.Cluster.Name))
	p.line("")
	p.line("  %s: systemctl restart mailhad", r.Node.Name)
	for _, n := range r.Cluster.Nodes {
		if n.Name == r.Node.Name {
			continue
		}
		switch {
		case r.Cluster.Etcd.External():
			p.line("  %s: systemctl restart mailhad", n.Name)
		case newAuthority:
			p.line("  %s: move %s and %s away;", n.Name, r.Cluster.Etcd.DataDir, r.Cluster.TLSDir)
			p.line("    on %s: mailhactl cluster token %s | ssh %s mailhactl cluster join", r.Node.Name, n.Name, n.Name)
			p.line("    then: systemctl restart mailhad")
		default:
			p.line("  %s: move %s away if it is there; systemctl restart mailhad", n.Name, r.Cluster.Etcd.DataDir)
		}
	}
	p.line("")
	p.wrapped("", 0, "No group starts before all of them are there. For one that is off and stays so: mailhactl node fenced NODE")
}
