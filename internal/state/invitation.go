// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/trust"
)

// Invitations are kept under a lease of their own, so that etcd itself forgets
// those that nobody used.

func (k keys) invitation(id string) string { return string(k) + "invitations/" + id }

// Invite keeps an invitation for as long as life, and sets Until.
func (s *Store) Invite(ctx context.Context, i trust.Invitation, life time.Duration) error {
	if err := checkName(i.ID); err != nil {
		return fmt.Errorf("keep an invitation: %w", err)
	}
	i.Until = now().Add(life)
	value, err := encode(i, maxRecord)
	if err != nil {
		return err
	}
	lease, err := s.client.Grant(ctx, int64((life+time.Second-1)/time.Second))
	if err != nil {
		return fmt.Errorf("keep an invitation: %w", err)
	}
	key := s.keys.invitation(i.ID)
	_, err = s.change(ctx, unchanged(key, 0), clientv3.OpPut(key, value, clientv3.WithLease(lease.ID)),
		Event{By: i.By, Node: i.Node, What: fmt.Sprintf("%s was invited by token %s, good for %s", i.Node, i.ID, life)})
	if err != nil {
		return fmt.Errorf("keep an invitation: %w", err)
	}
	return nil
}

// Invitation implements trust.Invitations.
func (s *Store) Invitation(ctx context.Context, id string) (trust.Invitation, error) {
	if checkName(id) != nil {
		return trust.Invitation{}, trust.ErrToken
	}
	resp, err := s.client.Get(ctx, s.keys.invitation(id))
	if err != nil {
		return trust.Invitation{}, fmt.Errorf("read an invitation: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return trust.Invitation{}, trust.ErrToken
	}
	i := trust.Invitation{}
	if err := decode(string(resp.Kvs[0].Key), resp.Kvs[0].Value, maxRecord, &i); err != nil {
		return trust.Invitation{}, err
	}
	i.ID, i.Rev = id, resp.Kvs[0].ModRevision
	return i, nil
}

// Redeem implements trust.Invitations.
func (s *Store) Redeem(ctx context.Context, i trust.Invitation) error {
	key := s.keys.invitation(i.ID)
	note, err := s.note(Event{Node: i.Node, By: i.By, What: i.Node + " was let in by token " + i.ID})
	if err != nil {
		return err
	}
	resp, err := s.client.Txn(ctx).If(unchanged(key, i.Rev)).Then(clientv3.OpDelete(key), note).Commit()
	if err != nil {
		return fmt.Errorf("redeem an invitation: %w", err)
	}
	if !resp.Succeeded {
		return trust.ErrToken
	}
	return nil
}
