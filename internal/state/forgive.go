// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Forgive forgets a group's failures as seen, for an operator who has mended it:
// those of one resource, or with an empty name all of them. Any node may do it for
// the owner, whose next Put gets ErrConflict and the record as it is then.
// It returns ErrConflict with the group as it is now, and zero if it has no record.
func (s *Store) Forgive(ctx context.Context, seen Group, resource, by string) (Group, error) {
	g := seen
	fail := func(now Group, err error) (Group, error) {
		return now, fmt.Errorf("forgive %s: %w", g.Name, err)
	}
	if err := checkName(g.Name); err != nil {
		return fail(g, err)
	}
	if err := g.check(); err != nil {
		return fail(g, err)
	}
	what := "its failures"
	g.Failures = slices.DeleteFunc(slices.Clone(g.Failures), func(f Failure) bool { return resource == "" || f.Resource == resource })
	if resource != "" {
		what = "the failures of " + resource
	}
	if len(g.Failures) == 0 {
		g.Failures = nil // as it is read back
	}
	g.Why = what + " were forgiven by " + by
	value, err := encode(g, maxRecord)
	if err != nil {
		return fail(g, err)
	}
	note, err := s.note(Event{By: by, Group: g.Name, Resource: resource, What: what + " were forgiven"})
	if err != nil {
		return fail(g, err)
	}
	key := s.keys.group(g.Name)
	resp, err := s.client.Txn(ctx).If(unchanged(key, seen.Rev)).
		Then(clientv3.OpPut(key, value), note).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return fail(g, fmt.Errorf("write to etcd: %w", err))
	}
	if !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return fail(Group{}, ErrConflict)
		}
		now, err := s.keys.readGroup(kvs[0])
		if err != nil {
			return fail(now, err)
		}
		return fail(now, ErrConflict)
	}
	s.prune(ctx)
	g.Rev = resp.Header.Revision
	return g, nil
}
