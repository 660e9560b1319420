// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// MaxEvents is how many events the cluster remembers, give or take the few that
// come while the oldest are removed.
const MaxEvents = 1000

const pruneEach = 50 // events that one store writes before it looks

// Note writes down something that happened and changed no record. At is set if
// it is zero.
func (s *Store) Note(ctx context.Context, e Event) error {
	op, err := s.note(e)
	if err != nil {
		return err
	}
	if _, err := s.client.Do(ctx, op); err != nil {
		return fmt.Errorf("note an event in etcd: %w", err)
	}
	s.prune(ctx)
	return nil
}

// Events are the latest ones, at most limit of them, the latest last. What
// cannot be read is left out and told in the error.
func (s *Store) Events(ctx context.Context, limit int) ([]Event, error) {
	// In the order in which etcd had them, which no node's clock has made.
	resp, err := s.client.Get(ctx, s.keys.events(), clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read the events from etcd: %w", err)
	}
	var events []Event
	var faults []error
	for _, kv := range slices.Backward(resp.Kvs) {
		e, err := readEvent(kv)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		events = append(events, e)
	}
	return events, errors.Join(faults...)
}

// prune removes the oldest events now and then. That it fails is no failure of
// the change that it follows.
func (s *Store) prune(ctx context.Context) {
	if s.written.Add(1) < pruneEach {
		return
	}
	s.written.Store(0)
	resp, err := s.client.Get(ctx, s.keys.events(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(MaxEvents))
	if err == nil && len(resp.Kvs) == MaxEvents {
		// Everything before the oldest that stays.
		_, err = s.client.Delete(ctx, s.keys.events(), clientv3.WithRange(string(resp.Kvs[MaxEvents-1].Key)))
	}
	if err != nil {
		s.log.Warn("old events stay in etcd for now", "error", err)
	}
}
