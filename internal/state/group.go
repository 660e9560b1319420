// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Owns says whether the group is this session's own, as of the record given. One
// that this node took in a former session is not.
func (n *Session) Owns(g Group) bool {
	return g.Owner == n.node.Name && g.Session == SessionID(n.id)
}

// Claim says how a group is taken.
type Claim struct {
	// Floor is the least epoch: one more than that with which the service's own data
	// are marked; 0: nothing is known.
	Floor uint64
	Why   string // a sentence
	// Uncounted: should this be a move, it is none that placement counts.
	Uncounted bool
}

// Take makes this node the owner of a group as seen, under the next epoch or the
// claim's floor, whichever is more. seen.Rev is 0 for a group that
// has no record yet. The phase is Starting.
//
// Whoever takes a group that was not freed has to know that the former owner is
// no more: Take refuses it as long as that one is present (ErrOwned), but leaves
// to the caller how long to wait after it went; see Snapshot.Gone. A node may
// take what it owned in a former session when it has cleaned up.
//
// With ErrConflict the group is returned as it is now, and zero if it has no
// record. It may also return ErrLost, and after a restore ErrUnheard.
func (n *Session) Take(ctx context.Context, seen Group, claim Claim) (Group, error) {
	g := seen
	g.Owner, g.Session, g.Epoch, g.Phase, g.Since, g.Why = n.node.Name, SessionID(n.id), max(seen.Epoch+1, claim.Floor), Starting, now(), claim.Why
	g.Handed = false
	gone := []clientv3.Cmp{n.store.allHeard()}
	switch {
	case n.Owns(seen):
		return seen, fmt.Errorf("take %s: it is this node's own already", seen.Name)
	case seen.Owner != "" && seen.Owner != n.node.Name:
		gone = append(gone, clientv3.Compare(clientv3.CreateRevision(n.store.keys.node(seen.Owner)), "=", 0))
	}
	if seen.Owner != "" {
		g.Former = seen.Owner
	}
	if g.Former != "" && g.Former != n.node.Name && !claim.Uncounted {
		g.Moves = latest(append(g.Moves[:len(g.Moves):len(g.Moves)], g.Since))
	}
	return n.write(ctx, "take", seen.Rev, g, gone)
}

// Put writes what the owner has to say of its group: Phase, Why, Failures, Moves.
// g is what Take or Put returned, or what a snapshot has, with those changed. The
// oldest of more than MaxHistory failures and moves are dropped. Errors are as of Take.
func (n *Session) Put(ctx context.Context, g Group) (Group, error) {
	if !n.Owns(g) || g.Phase == Free {
		return g, fmt.Errorf("write of %s: it is not this session's own, or to be freed by Free", g.Name)
	}
	g.Since, g.Handed = now(), false
	return n.write(ctx, "write of", g.Rev, g, nil)
}

// Adopt makes a group this session's own that this node owned in a former session, or
// that nobody owns, because something of it is on this node, to be stopped and then
// freed: the phase is Stopping, or stays Failed, and the epoch stays. seen and errors are as
// of Take.
func (n *Session) Adopt(ctx context.Context, seen Group, why string) (Group, error) {
	if n.Owns(seen) || seen.Owner != "" && seen.Owner != n.node.Name {
		return seen, fmt.Errorf("adopt %s: it is owned by %s", seen.Name, seen.Owner)
	}
	g := seen
	g.Owner, g.Session, g.Epoch, g.Since, g.Why = n.node.Name, SessionID(n.id), max(seen.Epoch, 1), now(), why
	g.Handed = false
	if seen.Owner == "" || seen.Phase != Failed { // what could not be stopped is not gone for a new session
		g.Phase = Stopping
	}
	return n.write(ctx, "adopt", seen.Rev, g, nil)
}

// Free gives up a group that is proved stopped on this node, also one that it
// owned in a former session. Errors are as of Take.
func (n *Session) Free(ctx context.Context, g Group, why string) (Group, error) {
	if g.Owner != n.node.Name {
		return g, fmt.Errorf("free %s: it is not this node's own", g.Name)
	}
	g.Former, g.Owner, g.Session, g.Phase, g.Since, g.Why = g.Owner, "", 0, Free, now(), why
	g.Handed = false
	return n.write(ctx, "free", g.Rev, g, nil)
}

// Hand gives a group that is proved stopped on this node to the session of another one
// in one step, as Free here and Take there would in two. That one begins when it sees
// it. It returns ErrOwned if that session has ended meanwhile or, after a restore,
// somebody is not heard yet; other errors are as of Take.
func (n *Session) Hand(ctx context.Context, g Group, to Node, claim Claim) (Group, error) {
	if !n.Owns(g) || to.Name == n.node.Name {
		return g, fmt.Errorf("hand %s to %s: it is not this session's own, or the other node's", g.Name, to.Name)
	}
	g.Former, g.Owner, g.Session, g.Epoch, g.Phase, g.Since, g.Why = n.node.Name, to.Name, to.Session, max(g.Epoch+1, claim.Floor), Starting, now(), claim.Why
	g.Handed = true
	if !claim.Uncounted {
		g.Moves = latest(append(g.Moves[:len(g.Moves):len(g.Moves)], g.Since))
	}
	there := clientv3.Compare(clientv3.LeaseValue(n.store.keys.node(to.Name)), "=", clientv3.LeaseID(to.Session))
	return n.write(ctx, "hand over", g.Rev, g, []clientv3.Cmp{n.store.allHeard(), there})
}

func latest[T any](list []T) []T { return list[max(0, len(list)-MaxHistory):] }

// write makes the one change of a group's record, if it is still of the revision
// seen, this session is present, and what else must be true is.
func (n *Session) write(ctx context.Context, verb string, seen int64, g Group, also []clientv3.Cmp) (Group, error) {
	fail := func(now Group, err error) (Group, error) {
		return now, fmt.Errorf("%s %s: %w", verb, g.Name, err)
	}
	if err := checkName(g.Name); err != nil {
		return fail(g, err)
	}
	if err := g.check(); err != nil {
		return fail(g, err)
	}
	if !n.Valid() {
		return fail(g, n.lossOr(ErrLost))
	}
	g.Failures = latest(g.Failures)
	g.Moves = latest(g.Moves)
	value, err := encode(g, maxRecord)
	if err != nil {
		return fail(g, err)
	}
	note, err := n.store.note(Event{Node: n.node.Name, Group: g.Name, What: g.event()})
	if err != nil {
		return fail(g, err)
	}
	key := n.store.keys.group(g.Name)
	ctx, cancel := n.bound(ctx)
	defer cancel()
	also = append(also, n.present(), unchanged(key, seen))
	resp, err := n.store.commit(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return n.store.client.Txn(ctx).
			If(also...).
			Then(clientv3.OpPut(key, value), note).
			Else(clientv3.OpGet(key), clientv3.OpGet(n.store.keys.node(n.node.Name)), clientv3.OpGet(string(note.KeyBytes())),
				clientv3.OpGet(n.store.keys.wish(Hear, ""), clientv3.WithPrefix(), clientv3.WithCountOnly())).
			Commit()
	})
	if err != nil {
		return fail(g, n.lossOr(fmt.Errorf("write to etcd: %w", err)))
	}
	if !resp.Succeeded {
		now, err := n.refused(resp, seen)
		// The note is there if an earlier attempt was made after all.
		made := len(resp.Responses[2].GetResponseRange().Kvs) == 1
		if errors.Is(err, ErrConflict) && made && now.Rev == resp.Responses[2].GetResponseRange().Kvs[0].ModRevision {
			return now, nil
		}
		return fail(now, err)
	}
	n.store.prune(ctx)
	g.Rev = resp.Header.Revision
	return g, nil
}

// lossOr is why the session is over, and other if it is not known to be.
func (n *Session) lossOr(other error) error {
	if err := n.Err(); err != nil {
		return err
	}
	return other
}

// refused finds which of the conditions did not hold, and the record as it is.
func (n *Session) refused(resp *clientv3.TxnResponse, seen int64) (Group, error) {
	group, presence := resp.Responses[0].GetResponseRange().Kvs, resp.Responses[1].GetResponseRange().Kvs
	if len(presence) != 1 || presence[0].Lease != int64(n.id) {
		err := fmt.Errorf("%w: its presence was removed or replaced", ErrLost)
		n.lose(err)
		return Group{}, err
	}
	unheard := resp.Responses[3].GetResponseRange().Count > 0
	if len(group) == 0 {
		if unheard && seen == 0 {
			return Group{}, ErrUnheard
		}
		return Group{}, ErrConflict // seen had a revision
	}
	g, err := n.store.keys.readGroup(group[0])
	if err != nil {
		return Group{}, err
	}
	switch {
	case g.Rev == seen && unheard:
		return g, ErrUnheard
	case g.Rev == seen:
		return g, fmt.Errorf("%w: %s", ErrOwned, g.Owner)
	}
	return g, ErrConflict
}

// allHeard is true in etcd if no node is left that has to be heard first.
func (s *Store) allHeard() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(s.keys.wish(Hear, "")), "=", 0).WithPrefix()
}

// event says in a sentence what became of the group.
func (g Group) event() string {
	what := fmt.Sprintf("%s on %s, epoch %d", g.Phase, g.Owner, g.Epoch)
	if g.Phase == Free {
		what = fmt.Sprintf("given up by %s, epoch %d", g.Former, g.Epoch)
	}
	if g.Why != "" {
		what += ": " + g.Why
	}
	return what
}
