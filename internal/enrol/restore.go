// SPDX-License-Identifier: Apache-2.0

package enrol

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/trust"
	"github.com/mailha/mailha/resources"
)

// ErrAlive: a node that should be silent during a restore answers.
var ErrAlive = errors.New("the cluster that is to be replaced still runs")

// Restoring is a cluster that is to be put back to a saved state.
type Restoring struct {
	Cluster  *resources.Cluster // as this node's file has it
	Node     resources.Node     // this one
	Saved    state.Saved
	Unheard  []string // the nodes that may have run groups since
	By       string   // who asks for it
	StateDir string   // of mailhad, such as /run/mailha
	Log      *slog.Logger
	Progress state.Progress // may be nil
}

// Restore makes a new cluster of this node alone that has the saved state, and admits
// the other nodes of the configuration to it; or it writes the state into the
// operator's own etcd. It returns whether this node had to be given a new authority, so
// that the others have to join by tokens. Only in an etcd of the operator's own can it
// leave something half-way.
//
// That no other node answers is looked at here. It proves nothing about those that
// cannot be reached: see state.Load for what keeps groups from running twice.
func (r Restoring) Restore(ctx context.Context) (newAuthority bool, err error) {
	unlock, err := Lock(r.StateDir)
	if err != nil {
		return false, fmt.Errorf("%w; systemctl stop mailhad, on all nodes", err)
	}
	defer unlock()
	c := r.Cluster
	if c.Etcd.External() {
		client, err := Dial(c, r.Log)
		if err != nil {
			return false, err
		}
		defer client.Close()
		return false, r.load(ctx, client)
	}
	if awake := r.awake(ctx); len(awake) > 0 {
		return false, fmt.Errorf("%w: etcd answers on %s; if it is the one to be replaced, there: systemctl stop mailhad, and move %s away", ErrAlive, strings.Join(awake, ", "), c.Etcd.DataDir)
	}
	if _, err := os.Lstat(trust.Dir(c.TLSDir).Node()); errors.Is(err, fs.ErrNotExist) {
		newAuthority = true
		if err := certify(c, r.Node); err != nil {
			return false, err
		}
	}
	return newAuthority, quorum.Found(ctx, Member(c, r.Node, r.Log), func(ctx context.Context, client *quorum.Client) error {
		if err := r.load(ctx, client); err != nil {
			return err
		}
		for _, n := range c.Nodes {
			if n.Name == r.Node.Name || len(n.Addresses) == 0 {
				continue
			}
			if err := quorum.Admit(ctx, client, n.Name, peerURL(c, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r Restoring) load(ctx context.Context, client *quorum.Client) error {
	store, err := state.Open(client, state.Options{Cluster: r.Cluster.Name, Log: r.Log})
	if err != nil {
		return err
	}
	return store.Load(ctx, r.Saved, r.Unheard, r.By, r.Progress)
}

// awake are the other nodes whose etcd takes connections.
func (r Restoring) awake(ctx context.Context) []string {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make(chan bool)
	var names []string
	for _, n := range r.Cluster.Nodes {
		if n.Name == r.Node.Name || len(n.Addresses) == 0 {
			continue
		}
		ports := []uint16{r.Cluster.Etcd.Port, r.Cluster.Etcd.PeerPort}
		for _, port := range ports {
			go func() {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(n.Addresses[0], port).String())
				if err == nil {
					conn.Close()
				}
				answers <- err == nil
			}()
		}
		awake := false
		for range ports {
			awake = <-answers || awake
		}
		if awake {
			names = append(names, n.Name)
		}
	}
	return names
}

func peerURL(c *resources.Cluster, n resources.Node) string {
	return "https://" + at(n, c.Etcd.PeerPort).String()
}
