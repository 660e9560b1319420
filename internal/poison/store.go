// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/clock"
)

// Store is where slots, pills and words are: an etcd. Its methods may be called from
// several goroutines; what they read is linearizable.
type Store struct {
	client *clientv3.Client
	prefix string
	clock  clock.Clock
}

var (
	// ErrNoSlot: the node keeps no slot, and nothing follows from its silence.
	ErrNoSlot = errors.New("mailha-fenced has not armed a watchdog there, or was stopped in good order")
	// ErrTakenBack: somebody has taken the pill back.
	ErrTakenBack = errors.New("the pill was taken back")
	// ErrConflict: somebody else was quicker.
	ErrConflict = errors.New("changed by somebody else meanwhile")
)

// Open makes a store for a cluster of that name. It does not close the client.
func Open(client *clientv3.Client, cluster string) *Store {
	return &Store{client: client, prefix: "/mailha-fenced/" + cluster + "/", clock: clock.Boot{}}
}

func (s *Store) slot(node string) string { return s.prefix + "slots/" + node }
func (s *Store) pill(node string) string { return s.prefix + "pills/" + node }
func (s *Store) word(node string) string { return s.prefix + "words/" + node }

// Table is what is known about a node. What is nil is not there.
type Table struct {
	Slot *Slot
	Pill *Pill
	Word *Word

	slotRev, pillRev, wordRev int64
}

// Armed says whether the node can be asked to end.
func (t Table) Armed() bool { return t.Slot != nil && !t.Slot.Unarmed }

// Off says whether it is proved that the life that has kept the slot is over.
func (t Table) Off() bool { return t.Slot != nil && t.Word != nil && t.Word.Life == t.Slot.Life }

// Look reads all that is known about a node, as a majority of etcd knows it.
func (s *Store) Look(ctx context.Context, node string) (Table, error) {
	resp, err := s.client.Txn(ctx).Then(clientv3.OpGet(s.slot(node)), clientv3.OpGet(s.pill(node)), clientv3.OpGet(s.word(node))).Commit()
	if err != nil {
		return Table{}, fmt.Errorf("ask etcd: %w", err)
	}
	var t Table
	const slot, pill, word = 0, 1, 2
	if t.Slot, t.slotRev, err = one[Slot](resp.Responses[slot].GetResponseRange().GetKvs()); err != nil {
		return Table{}, err
	}
	if t.Pill, t.pillRev, err = one[Pill](resp.Responses[pill].GetResponseRange().GetKvs()); err != nil {
		return Table{}, err
	}
	if t.Word, t.wordRev, err = one[Word](resp.Responses[word].GetResponseRange().GetKvs()); err != nil {
		return Table{}, err
	}
	return t, nil
}

func one[T interface{ check() error }](kvs []*mvccpb.KeyValue) (*T, int64, error) {
	if len(kvs) == 0 {
		return nil, 0, nil
	}
	record, err := decode[T](string(kvs[0].Key), kvs[0].Value)
	if err != nil {
		return nil, 0, err
	}
	return &record, kvs[0].ModRevision, nil
}

// Nodes are those that keep slots, sorted.
func (s *Store) Nodes(ctx context.Context) ([]string, error) {
	resp, err := s.client.Get(ctx, s.slot(""), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("ask etcd: %w", err)
	}
	var names []string
	for _, kv := range resp.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), s.slot("")))
	}
	slices.Sort(names)
	return names, nil
}

// change writes if nothing about the node has changed since it was looked at.
func (s *Store) change(ctx context.Context, node string, seen Table, ops ...clientv3.Op) error {
	same := func(key string, rev int64) clientv3.Cmp {
		return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
	}
	resp, err := s.client.Txn(ctx).
		If(same(s.slot(node), seen.slotRev), same(s.pill(node), seen.pillRev), same(s.word(node), seen.wordRev)).
		Then(ops...).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("write to etcd: %w", err)
	case !resp.Succeeded:
		return ErrConflict
	}
	return nil
}

// Keep writes a node's slot. What was meant for another life of the node is removed: it is
// over. A pill for this life stays.
func (s *Store) Keep(ctx context.Context, node string, slot Slot, seen Table) error {
	if seen.Pill != nil && seen.Pill.Life == slot.Life {
		return fmt.Errorf("%w: there is a pill for it", ErrConflict)
	}
	value, err := encode(slot)
	if err != nil {
		return err
	}
	return s.change(ctx, node, seen, clientv3.OpPut(s.slot(node), value), clientv3.OpDelete(s.pill(node)), clientv3.OpDelete(s.word(node)))
}

// Rise writes that a node has come up in another life than the one that has kept its slot,
// and that nothing is known of a watchdog in this one. What was written about the former
// life says nothing about this one, and yet it was taken for it: a node whose
// mailha-fenced did not run was told to be off. It does nothing if this life has written a
// slot already, or none is there.
func (s *Store) Rise(ctx context.Context, node, life string) error {
	for {
		seen, err := s.Look(ctx, node)
		if err != nil || seen.Slot == nil || seen.Slot.Life == life {
			return err
		}
		err = s.Keep(ctx, node, Slot{Life: life, Unarmed: true, Since: time.Now().UTC().Truncate(time.Second)}, seen)
		if !errors.Is(err, ErrConflict) || seen.Pill != nil && seen.Pill.Life == life {
			return err
		}
	}
}

// Leave removes a node's slot of that life, which has to be as it was seen: ErrConflict
// may mean that there is a pill meanwhile.
func (s *Store) Leave(ctx context.Context, node string, life string, seen Table) error {
	if seen.Slot == nil || seen.Slot.Life != life {
		return nil
	}
	return s.change(ctx, node, seen, clientv3.OpDelete(s.slot(node)), clientv3.OpDelete(s.pill(node)), clientv3.OpDelete(s.word(node)))
}

// Tell writes that the life is over which a pill was meant for. Only who has proved it
// may. It returns ErrConflict if anything about the node has changed since it was seen.
func (s *Store) Tell(ctx context.Context, node string, pill Pill, proof Proof, seen Table) error {
	value, err := encode(Word{Pill: pill.ID, Life: pill.Life, Proof: proof})
	if err != nil {
		return err
	}
	return s.change(ctx, node, seen, clientv3.OpPut(s.word(node), value))
}

// Clear takes a pill back that nobody has taken yet, and forgets one that was: the node
// may be asked anew. It does nothing if there is none.
func (s *Store) Clear(ctx context.Context, node string) error {
	if _, err := s.client.Txn(ctx).Then(clientv3.OpDelete(s.pill(node))).Commit(); err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	return nil
}
