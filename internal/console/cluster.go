// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/trust"
	"github.com/mailha/mailha/resources"
)

// DefaultFile is the configuration of a node.
const DefaultFile = "/etc/mailha/mailha.toml"

// home is which configuration a command is about, and as which node. These commands
// do without the daemon: it does not run yet, or must not.
type home struct {
	file, node string
}

func (h *home) flags(c *cobra.Command) {
	c.Flags().StringVar(&h.file, "config", DefaultFile, "the configuration file")
	c.Flags().StringVar(&h.node, "node", "", "the name of this node in it (default: the host name)")
}

// dial reads the configuration and reaches for the cluster's etcd.
func (s *session) dial(h home) (*resources.Cluster, *quorum.Client, error) {
	cluster, _, err := s.load(h)
	if err != nil {
		return nil, nil, err
	}
	client, err := enrol.Dial(cluster, s.quiet())
	return cluster, client, err
}

// load reads the configuration and finds this node in it.
func (s *session) load(h home) (*resources.Cluster, resources.Node, error) {
	_, data, err := s.read(h.file)
	if err != nil {
		return nil, resources.Node{}, err
	}
	c, err := resources.Parse(filepath.Base(h.file), data, s.kinds)
	if err != nil {
		return nil, resources.Node{}, err
	}
	if h.node == "" {
		if h.node, err = os.Hostname(); err != nil {
			return nil, resources.Node{}, err
		}
	}
	n, ok := c.Node(h.node)
	if !ok {
		return nil, n, fmt.Errorf("%s: this node, %s, is not in [[node]]; its name can be given with --node", h.file, h.node)
	}
	return c, n, nil
}

func (s *session) clusterCommand() *cobra.Command {
	return branch("cluster", "Begin a cluster, let nodes in, replace members of etcd, save and restore",
		s.initCommand(), s.tokenCommand(), s.joinCommand(), s.membersCommand(), s.replaceCommand(), s.removeCommand(), s.snapshotCommand(), s.restoreCommand())
}

// caller is who runs the program.
func caller() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

// quiet is for libraries that would write between the lines.
func (s *session) quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (s *session) initCommand() *cobra.Command {
	var h home
	c := &cobra.Command{
		Use: "init", Short: "Make a cluster of this node, and invite the others of the configuration", Args: cobra.NoArgs,
		Long: "Makes the cluster's certificate authority and this node's member of etcd, from the configuration file. Then start mailhad here, and run \"mailhactl cluster token NODE\" for each other node.",
		RunE: func(*cobra.Command, []string) error {
			cluster, node, err := s.load(h)
			if err != nil {
				return err
			}
			if err := enrol.Found(s.ctx, cluster, node, s.quiet()); err != nil {
				return err
			}
			s.warnOfName(node.Name)
			fmt.Fprintf(s.out, "Cluster %s is made, of %s alone. Now, here:\n\n  systemctl enable --now mailhad\n", cluster.Name, node.Name)
			for _, n := range cluster.Nodes {
				if n.Name != node.Name {
					fmt.Fprintf(s.out, "  mailhactl cluster token %s\n", n.Name)
				}
			}
			return nil
		},
	}
	h.flags(c)
	return c
}

// warnOfName tells what a node needs that is called otherwise in the configuration.
func (s *session) warnOfName(node string) {
	if host, err := os.Hostname(); err == nil && host != node {
		fmt.Fprintf(s.err, "This node's host name is %s, not %s: mailhad finds itself only with \"-node %[2]s\" in both ExecStart= and ExecStopPost= of its unit, see mailhactl(8), cluster join.\n", host, node)
	}
}

func (s *session) tokenCommand() *cobra.Command {
	var h home
	var life time.Duration
	c := &cobra.Command{
		Use: "token NODE", Short: "Make a token by which a node of the configuration can join", Args: cobra.ExactArgs(1),
		Long: "Prints a token, which is good once and for a while. It is the node's key to the cluster: give it to that node alone, for example by \"mailhactl cluster token node2 | ssh node2 mailhactl cluster join\".",
		RunE: func(_ *cobra.Command, args []string) error {
			cluster, node, err := s.load(h)
			if err != nil {
				return err
			}
			guest, ok := cluster.Node(args[0])
			if !ok {
				return fmt.Errorf("%s: %s is not in [[node]]", h.file, args[0])
			}
			token, err := enrol.Invite(s.ctx, cluster, node, guest, caller(), life, s.quiet())
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, token.Text())
			if s.screen.Terminal {
				fmt.Fprintf(s.err, "Good once, for %s. On %s: mailhactl cluster join, and paste it there.\n", life, guest.Name)
			}
			return nil
		},
	}
	h.flags(c)
	c.Flags().DurationVar(&life, "life", trust.TokenLife, "how long the token is good for")
	return c
}

func (s *session) joinCommand() *cobra.Command {
	var h home
	var tokenFile string
	var dir string
	c := &cobra.Command{
		Use: "join", Short: "Bring this node into a cluster, by a token from standard input", Args: cobra.NoArgs,
		Long: "Reads a token that \"mailhactl cluster token\" has printed on a node of the cluster, fetches this node's certificate and, if it has none, the configuration. Then start mailhad.",
		RunE: func(*cobra.Command, []string) error {
			in := s.in
			if tokenFile != "-" {
				f, err := os.Open(tokenFile)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			} else if s.screen.Terminal {
				fmt.Fprintln(s.err, "Paste the token, and press Enter and Ctrl-D:")
			}
			token, err := trust.ReadToken(in)
			if errors.Is(err, io.EOF) {
				return errors.New("no token came in")
			}
			if err != nil {
				return err
			}
			if h.node != "" && h.node != token.Node {
				return fmt.Errorf("the token is for %s, and not for %s: make one with \"mailhactl cluster token %[2]s\"", token.Node, h.node)
			}
			const patience = 40 * time.Second // etcd takes a few to let a member in
			ctx, cancel := context.WithTimeout(s.ctx, patience)
			defer cancel()
			if err := enrol.Join(ctx, token, trust.Dir(dir), h.file); err != nil {
				return err
			}
			s.warnOfName(token.Node)
			fmt.Fprintf(s.out, "This node is let in as %s. Now: systemctl enable --now mailhad\n", token.Node)
			return nil
		},
	}
	h.flags(c)
	c.Flags().StringVar(&tokenFile, "token-file", "-", "read the token from this file")
	c.Flags().StringVar(&dir, "tls-dir", string(trust.DefaultDir), "where the certificates are kept; as tls_dir in the configuration")
	return c
}

func (s *session) replaceCommand() *cobra.Command {
	var h home
	c := &cobra.Command{
		Use: "replace-member NODE", Short: "Have a node whose etcd data are lost begin anew", Args: cobra.ExactArgs(1),
		Long: "For a node whose disk is lost: run it on another node of the cluster, with mailhad stopped on the one that is replaced. If its certificates are lost too, make a token and join it afterwards.",
		RunE: func(_ *cobra.Command, args []string) error {
			_, client, err := s.dial(h)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := quorum.Replace(s.ctx, client, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s is a member without data now. Start mailhad there: it catches up by itself.\n", args[0])
			return nil
		},
	}
	h.flags(c)
	return c
}

func (s *session) removeCommand() *cobra.Command {
	var h home
	c := &cobra.Command{
		Use: "remove-member NODE", Short: "Take the etcd member of a node out that is no more of the cluster", Args: cobra.ExactArgs(1),
		Long: "For a node that was taken out of the configuration: its member of etcd would count for the majority for ever. Run it on another node, with mailhad stopped on the one that goes, and remove the certificates there: they are good until they end.",
		RunE: func(_ *cobra.Command, args []string) error {
			cluster, _, err := s.load(h)
			if err != nil {
				return err
			}
			if _, still := cluster.Node(args[0]); still {
				return fmt.Errorf("%s is in %s: take it out, apply that with \"mailhactl config apply\", and then remove its member", args[0], h.file)
			}
			client, err := enrol.Dial(cluster, s.quiet())
			if err != nil {
				return err
			}
			defer client.Close()
			if err := quorum.Remove(s.ctx, client, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s is no member any more. Remove its certificates there: %s\n", args[0], cluster.TLSDir)
			return nil
		},
	}
	h.flags(c)
	return c
}
