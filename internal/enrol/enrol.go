// SPDX-License-Identifier: Apache-2.0

// Package enrol is how a cluster begins, and how nodes come into it: certificates,
// tokens, and the member of etcd, in the right order.
//
// It must never touch a node that belongs to a cluster already, and never print or log
// the secret of a token anywhere but to the operator who asked for it.
package enrol

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/trust"
	"github.com/mailha/mailha/resources"
)

// Port is where a node of the cluster lets new nodes in, on its first address.
const Port = 2381

// errExternal: there is nothing to enrol in.
var errExternal = errors.New("etcd is your own ([etcd] endpoints): copy the configuration to each node and start mailhad there")

// Member is a node's member of the embedded etcd.
func Member(c *resources.Cluster, n resources.Node, log *slog.Logger) quorum.Config {
	cfg := quorum.Config{
		Name: n.Name, Cluster: c.Name, Dir: c.Etcd.DataDir, Heartbeat: c.Etcd.Heartbeat, Election: c.Etcd.Election, Log: log,
		TLS: files(trust.Dir(c.TLSDir)), Peer: at(n, c.Etcd.PeerPort), Client: at(n, c.Etcd.Port),
	}
	for _, o := range c.Nodes {
		if o.Name != n.Name && len(o.Addresses) > 0 {
			cfg.Others = append(cfg.Others, "https://"+at(o, c.Etcd.Port).String())
		}
	}
	return cfg
}

func files(dir trust.Dir) quorum.Files {
	return quorum.Files{CA: dir.CA(), Cert: dir.Node(), Key: dir.Node()}
}

// at is a port on the first address of a node; a node alone needs none.
func at(n resources.Node, port uint16) netip.AddrPort {
	if len(n.Addresses) == 0 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	return netip.AddrPortFrom(n.Addresses[0], port)
}

// Dial reaches the cluster's etcd from one of its nodes.
func Dial(c *resources.Cluster, log *slog.Logger) (*quorum.Client, error) {
	if c.Etcd.External() {
		return quorum.Dial(quorum.Endpoints{URLs: c.Etcd.Endpoints, TLS: quorum.Files{CA: c.Etcd.CAFile, Cert: c.Etcd.CertFile, Key: c.Etcd.KeyFile}, Log: log})
	}
	e := quorum.Endpoints{TLS: files(trust.Dir(c.TLSDir)), Log: log}
	for _, n := range c.Nodes {
		e.URLs = append(e.URLs, "https://"+at(n, c.Etcd.Port).String())
	}
	return quorum.Dial(e)
}

// Found makes a cluster of its first node.
func Found(ctx context.Context, c *resources.Cluster, n resources.Node, log *slog.Logger) error {
	if c.Etcd.External() {
		return errExternal
	}
	if err := certify(c, n); err != nil {
		return err
	}
	if err := forgetApplied(c); err != nil {
		return err
	}
	return quorum.Found(ctx, Member(c, n, log), nil)
}

// certify makes the cluster's authority, and the certificate of its first node.
func certify(c *resources.Cluster, n resources.Node) error {
	return trust.Dir(c.TLSDir).Found(c.Name, subject(n), time.Now())
}

// subject is whom a node's certificate is for.
func subject(n resources.Node) trust.Subject {
	s := trust.Subject{Name: n.Name, Role: trust.RoleNode, Addresses: n.Addresses}
	if len(n.Addresses) == 0 {
		s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return s
}

// Invite makes a token by which a node of the configuration comes in, within life. It
// is called on a node of the cluster, which lets the new one in.
func Invite(ctx context.Context, c *resources.Cluster, here, guest resources.Node, by string, life time.Duration, log *slog.Logger) (trust.Token, error) {
	if c.Etcd.External() {
		return trust.Token{}, errExternal
	}
	authority, err := trust.Dir(c.TLSDir).Authority()
	if err != nil {
		return trust.Token{}, err
	}
	token, invitation, err := trust.Invite(c.Name, trust.Invitation{Node: guest.Name, Addresses: guest.Addresses, Witness: guest.Witness, By: by, Until: time.Now().Add(life)}, at(here, Port), authority.Fingerprint())
	if err != nil {
		return trust.Token{}, err
	}
	client, err := Dial(c, log)
	if err != nil {
		return trust.Token{}, err
	}
	defer client.Close()
	store, err := state.Open(client, state.Options{Cluster: c.Name, Log: log})
	if err != nil {
		return trust.Token{}, err
	}
	return token, store.Invite(ctx, invitation, life)
}

// Door lets nodes in on this one, if it holds the authority.
func Door(c *resources.Cluster, client *quorum.Client, store *state.Store, file string, log *slog.Logger) *trust.Door {
	return &trust.Door{Dir: trust.Dir(c.TLSDir), Invitations: store, Log: log, Admit: func(ctx context.Context, i trust.Invitation) (trust.Welcome, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return trust.Welcome{}, fmt.Errorf("read the configuration: %w", err)
		}
		latest, err := store.Config(ctx)
		if err != nil {
			return trust.Welcome{}, err
		}
		if latest.Rev != 0 {
			text = []byte(latest.TOML)
		}
		if len(i.Addresses) == 0 {
			return trust.Welcome{}, fmt.Errorf("node %s has no address", i.Node)
		}
		guest := resources.Node{Name: i.Node, Addresses: i.Addresses}
		if err := quorum.Admit(ctx, client, i.Node, peerURL(c, guest)); err != nil {
			return trust.Welcome{}, err
		}
		return trust.Welcome{Config: string(text)}, nil
	}}
}

// Join brings this node into a cluster, and leaves its configuration in file unless
// there is one. After it, mailhad can be started.
func Join(ctx context.Context, token trust.Token, dir trust.Dir, file string) error {
	welcome, err := dir.Join(ctx, token)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) || welcome.Config == "" {
		if err != nil {
			return err
		}
		// A copy that an earlier cluster of this name has left (Applied) is older now.
		now := time.Now()
		return os.Chtimes(file, now, now)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	if err := os.WriteFile(file, []byte(welcome.Config), 0o600); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}
