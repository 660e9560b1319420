// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
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
		return now, fmt.Errorf("forgive %s: %w", seen.Name, err)
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
	g, err := s.amend(ctx, seen, g, Event{By: by, Group: g.Name, Resource: resource, What: what + " were forgiven"}, nil)
	if err != nil {
		return fail(g, err)
	}
	return g, nil
}

// Release gives up a group as seen that its owner cannot give up, on the word of
// an operator who has seen to it that nothing of it runs anywhere. The owner must
// not be present, or have failed with the group; it returns ErrOwned otherwise.
// The other errors are as of Forgive.
func (s *Store) Release(ctx context.Context, seen Group, by string) (Group, error) {
	fail := func(now Group, err error) (Group, error) {
		return now, fmt.Errorf("release %s: %w", seen.Name, err)
	}
	if err := checkName(seen.Name); err != nil {
		return fail(seen, err)
	}
	if seen.Owner == "" {
		return fail(seen, errors.New("it is nobody's"))
	}
	var gone []clientv3.Cmp
	if seen.Phase != Failed {
		gone = append(gone, clientv3.Compare(clientv3.CreateRevision(s.keys.node(seen.Owner)), "=", 0))
	}
	g := seen
	g.Former, g.Owner, g.Session, g.Phase, g.Since = g.Owner, "", 0, Free, now()
	g.Why = by + " says that nothing of it runs anywhere"
	g, err := s.amend(ctx, seen, g, Event{By: by, Group: g.Name, What: g.event()}, gone)
	if err != nil {
		return fail(g, err)
	}
	return g, nil
}

// amend writes a group's record for somebody who does not own it, if it is still
// as seen and what else must be true is. If not, it returns the record as it is.
func (s *Store) amend(ctx context.Context, seen, g Group, e Event, also []clientv3.Cmp) (Group, error) {
	value, err := encode(g, maxRecord)
	if err != nil {
		return g, err
	}
	note, err := s.note(e)
	if err != nil {
		return g, err
	}
	key := s.keys.group(g.Name)
	resp, err := s.client.Txn(ctx).If(append(also, unchanged(key, seen.Rev))...).
		Then(clientv3.OpPut(key, value), note).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return g, fmt.Errorf("write to etcd: %w", err)
	}
	if !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return Group{}, ErrConflict
		}
		now, err := s.keys.readGroup(kvs[0])
		switch {
		case err != nil:
			return now, err
		case now.Rev == seen.Rev:
			return now, fmt.Errorf("%w: %s", ErrOwned, now.Owner)
		}
		return now, ErrConflict
	}
	s.prune(ctx)
	g.Rev = resp.Header.Revision
	return g, nil
}
