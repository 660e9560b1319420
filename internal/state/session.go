// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/clock"
)

// ErrPresent: a node of this name is present that was booted at another time: it
// was this machine before a reboot, and its lease ends by itself, or it is
// another machine that has the same name.
var ErrPresent = errors.New("a node of this name is already present")

// Session is the presence of a node in the cluster for as long as one lease
// lasts. It is the only way to own groups. Make it by Store.Join; after it is
// lost, make another one.
type Session struct {
	*Lease
	store *Store
	id    clientv3.LeaseID
	node  Node
}

// Join makes the node present: it is granted a lease, which is renewed from then
// on until the session is lost or closed, and its record is bound to it. The
// record of a former daemon of the same boot is replaced, whose groups are then
// this node's to clean up: the caller has to see to it that there is one daemon
// at a time. It returns ErrPresent, after which it may be tried again.
func (s *Store) Join(ctx context.Context, node Node, term Term) (*Session, error) {
	term, err := term.checked()
	if err != nil {
		return nil, err
	}
	if err := checkName(node.Name); err != nil {
		return nil, err
	}
	former, err := s.presence(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("join the cluster as %s: %w", node.Name, err)
	}
	sent := s.clock.Now() // before it is asked for: etcd may begin to count then
	lease, err := s.client.Grant(ctx, int64(term.TTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("join the cluster as %s: be granted a lease: %w", node.Name, err)
	}
	n := &Session{store: s, id: lease.ID, node: node}
	if err := n.appear(ctx, former); err != nil {
		n.forget(ctx)
		return nil, fmt.Errorf("join the cluster as %s: %w", node.Name, err)
	}
	n.Lease = hold(term, time.Duration(lease.TTL)*time.Second, sent, s.clock, n, s.log)
	return n, nil
}

// presence is the record that this node replaces; its Rev is 0 if there is none.
func (s *Store) presence(ctx context.Context, node Node) (Node, error) {
	resp, err := s.client.Get(ctx, s.keys.node(node.Name))
	if err != nil {
		return Node{}, fmt.Errorf("look who is present: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return Node{}, nil
	}
	former, err := s.keys.readNode(resp.Kvs[0])
	if err != nil {
		return Node{}, err
	}
	if former.Boot != node.Boot {
		return Node{}, fmt.Errorf("%w, since %s: its lease ends soon if it was this machine before a reboot; if it stays, another machine is called %s too",
			ErrPresent, former.Since.Format(time.RFC3339), node.Name)
	}
	return former, nil
}

// appear writes the node's record, and ends the lease of the one that it replaces.
func (n *Session) appear(ctx context.Context, former Node) error {
	n.node.Since = now()
	value, err := encode(n.node, maxRecord)
	if err != nil {
		return err
	}
	key := n.store.keys.node(n.node.Name)
	rev, err := n.store.change(ctx, unchanged(key, former.Rev), clientv3.OpPut(key, value, clientv3.WithLease(n.id)),
		Event{Node: n.node.Name, What: "the node is present"})
	if errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: it came at the same moment", ErrPresent)
	}
	if err != nil {
		return err
	}
	n.node.Rev, n.node.Session = rev, SessionID(n.id)
	if former.Session != 0 {
		// Nothing hangs on it any more. If this fails, it ends by itself.
		if _, err := n.store.client.Revoke(ctx, clientv3.LeaseID(former.Session)); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			n.store.log.Info("the lease of the former daemon is left to end by itself", "error", err)
		}
	}
	return nil
}

// Node is the node's record as it is in etcd.
func (n *Session) Node() Node { return n.node }

// renew is the landlord's: etcd renews the lease, and the presence is still ours.
func (n *Session) renew(ctx context.Context) (time.Duration, error) {
	ttl, err := keepAlive(ctx, n.store.client, n.id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return 0, fmt.Errorf("%w: etcd no longer has it", ErrLost)
	}
	if err != nil {
		return 0, fmt.Errorf("ask etcd: %w", err)
	}
	// A lease can live on without its record, if somebody removed that.
	key := n.store.keys.node(n.node.Name)
	found, err := n.store.client.Get(ctx, key) // etcd 3.7 leaves the lease out of keys alone
	if err != nil {
		return 0, fmt.Errorf("look whether this node is present: %w", err)
	}
	if len(found.Kvs) != 1 || found.Kvs[0].Lease != int64(n.id) {
		return 0, fmt.Errorf("%w: its record %s was removed or replaced", ErrLost, key)
	}
	return ttl, nil
}

// agreed is the landlord's.
func (n *Session) agreed() clock.Time {
	if n.store.agreed == nil {
		return 0
	}
	return n.store.agreed()
}

// revoke is the landlord's.
func (n *Session) revoke(ctx context.Context) error {
	if _, err := n.store.client.Revoke(ctx, n.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("give up the lease: %w", err)
	}
	return nil
}

// forget revokes a lease that came to nothing, even if ctx has ended.
func (n *Session) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := n.revoke(ctx); err != nil {
		n.store.log.Info("a lease is left to end by itself", "error", err)
	}
}

// errClosed is why a session is over that its node ended.
var errClosed = fmt.Errorf("%w: the session was closed", ErrLost)

// Close stops renewing. The presence stays until the lease ends by itself: the
// others take nothing over before. It is for a daemon that could not prove its
// groups stopped.
func (n *Session) Close() { n.release(errClosed) }

// Leave ends the presence at once, for a daemon that has freed its groups: what it
// still owned would be taken over as if it had been lost.
func (n *Session) Leave(ctx context.Context) error {
	n.release(errClosed)
	return n.revoke(ctx)
}

// bound is a context that ends with the session as well.
func (n *Session) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-n.Lost():
			cancel(n.Err())
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel(nil) }
}

// present is true in etcd as long as this session's presence is there.
func (n *Session) present() clientv3.Cmp {
	return clientv3.Compare(clientv3.LeaseValue(n.store.keys.node(n.node.Name)), "=", n.id)
}

// Time is the clock that Deadline is of.
func (s *Store) Time() clock.Clock { return s.clock }
