// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ShotPhase is how far the fencing of a node is.
type ShotPhase string

// The phases of a shot.
const (
	Shooting ShotPhase = "shooting" // By is at it, as long as its Session is present
	Off      ShotPhase = "off"      // a device has confirmed it, and the node's presence was ended
	Missed   ShotPhase = "missed"   // nothing is known about the node
	Spared   ShotPhase = "spared"   // the node was heard again before anything was done
)

// Shot is the latest attempt to have a node fenced. There is one record for each
// node, so that one node shoots at a time.
type Shot struct {
	Node string `json:"-"`
	// Life is the presence that is meant; 0: it had none any more.
	Life    SessionID `json:"life"`
	By      string    `json:"by"` // the node that has it fenced
	Session SessionID `json:"session"`
	Phase   ShotPhase `json:"phase"`
	Since   time.Time `json:"since"` // of Phase
	Tries   int       `json:"tries"` // in a row that missed
	Why     string    `json:"why"`   // a sentence: why it is fenced, and then what came of it
	Device  string    `json:"device,omitempty"`
	// Past are the times at which it was confirmed off, the latest last, at most MaxHistory.
	Past []time.Time `json:"past,omitempty"`
	Rev  int64       `json:"-"`
}

func (s Shot) check() error {
	switch s.Phase {
	case Shooting, Off, Missed, Spared:
	default:
		return fmt.Errorf("it has the unknown phase %q", s.Phase)
	}
	if s.By == "" || s.By == s.Node || s.Tries < 0 {
		return errors.New("it says nothing about who shoots, or that a node shoots itself")
	}
	return nil
}

func (k keys) readShot(kv *mvccpb.KeyValue) (Shot, error) {
	s := Shot{}
	err := decode(string(kv.Key), kv.Value, maxRecord, &s)
	s.Node, s.Rev = strings.TrimPrefix(string(kv.Key), k.shots()), kv.ModRevision
	if err == nil {
		if wrong := s.check(); wrong != nil {
			err = fmt.Errorf("etcd's key %s: %w: %w", kv.Key, ErrFormat, wrong)
		}
	}
	return s, err
}

// Aim begins a shot, in the place of the one seen, whose Rev is 0 if there was none. The
// presence of the node has to be the one that is meant; life is 0 for a node that is not
// present. It returns ErrConflict if another node was quicker or the node has another
// life, and ErrLost.
func (n *Session) Aim(ctx context.Context, seen Shot, life SessionID, why string) (Shot, error) {
	s := seen
	if life != 0 && life != seen.Life {
		s.Tries = 0 // in a row: of this life's
	}
	s.Life, s.By, s.Session, s.Phase, s.Since, s.Why, s.Device = life, n.node.Name, SessionID(n.id), Shooting, now(), why, ""
	is := clientv3.Compare(clientv3.CreateRevision(n.store.keys.node(s.Node)), "=", 0)
	if life != 0 {
		is = n.store.lives(s.Node, life)
	}
	return n.shoot(ctx, "fence", seen.Rev, s, []clientv3.Cmp{is}, nil, s.Node+" is being fenced: "+why)
}

// Hit ends a shot whose device has confirmed that the node is off: in one step its
// presence ends, and everybody may take what it had. What else is asked of it comes
// with it, and what was asked of it is done. Errors are as of Aim.
func (n *Session) Hit(ctx context.Context, s Shot, device, why string, also ...Wish) (Shot, error) {
	seen := s.Rev
	s.Phase, s.Since, s.Why, s.Device, s.Tries = Off, now(), why, device, 0
	s.Past = latest(append(s.Past[:len(s.Past):len(s.Past)], s.Since))
	// Nobody is to begin anew for the sake of a wish that has just been granted.
	more := []clientv3.Op{clientv3.OpDelete(n.store.keys.wish(Fence, s.Node))}
	for _, w := range append(also, Wish{Kind: Fenced, Node: s.Node, By: n.node.Name, Why: why, Life: s.Life, AsOf: seen}) {
		subject, err := w.subject()
		if err != nil {
			return s, err
		}
		w.Since = s.Since
		value, err := encode(w, maxRecord)
		if err != nil {
			return s, err
		}
		more = append(more, clientv3.OpPut(n.store.keys.wish(w.Kind, subject), value))
	}
	// Another life than that which was meant came after it was off, and stays.
	if s.Life != 0 {
		more = append(more, clientv3.OpTxn([]clientv3.Cmp{n.store.lives(s.Node, s.Life)},
			[]clientv3.Op{clientv3.OpDelete(n.store.keys.node(s.Node)), clientv3.OpDelete(n.store.keys.report(s.Node))}, nil))
	}
	s, err := n.shoot(ctx, "note that a node is off", seen, s, nil, more, s.Node+" is off: "+why)
	if err == nil && s.Life != 0 {
		// Nothing hangs on it any more. If this fails, it ends by itself.
		if _, err := n.store.client.Revoke(ctx, clientv3.LeaseID(s.Life)); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			n.store.log.Info("the lease of a node that is off is left to end by itself", "error", err)
		}
	}
	return s, err
}

// Miss ends a shot of which nothing is known, or that was not fired (Spared). Errors are
// as of Aim.
func (n *Session) Miss(ctx context.Context, s Shot, phase ShotPhase, why string) (Shot, error) {
	seen := s.Rev
	s.Phase, s.Since, s.Why = phase, now(), why
	what := s.Node + " could not be fenced: " + why
	if phase == Missed {
		s.Tries++
	} else {
		what = s.Node + " is not fenced: " + why
	}
	return n.shoot(ctx, "note that a node was not fenced", seen, s, nil, nil, what)
}

// lives is true in etcd as long as a node has that presence.
func (s *Store) lives(node string, life SessionID) clientv3.Cmp {
	return clientv3.Compare(clientv3.LeaseValue(s.keys.node(node)), "=", clientv3.LeaseID(life))
}

func (n *Session) shoot(ctx context.Context, verb string, seen int64, s Shot, also []clientv3.Cmp, more []clientv3.Op, what string) (Shot, error) {
	fail := func(err error) (Shot, error) { return s, fmt.Errorf("%s %s: %w", verb, s.Node, err) }
	if err := errors.Join(checkName(s.Node), s.check()); err != nil {
		return fail(err)
	}
	if !n.Valid() {
		return fail(n.lossOr(ErrLost))
	}
	value, err := encode(s, maxRecord)
	if err != nil {
		return fail(err)
	}
	note, err := n.store.note(Event{Node: n.node.Name, What: what})
	if err != nil {
		return fail(err)
	}
	key := n.store.keys.shot(s.Node)
	ctx, cancel := n.bound(ctx)
	defer cancel()
	also = append(also, n.present(), unchanged(key, seen))
	then := append([]clientv3.Op{clientv3.OpPut(key, value), note}, more...)
	resp, err := n.store.commit(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return n.store.client.Txn(ctx).If(also...).Then(then...).Else(clientv3.OpGet(string(note.KeyBytes()))).Commit()
	})
	if err != nil {
		return fail(n.lossOr(fmt.Errorf("write to etcd: %w", err)))
	}
	s.Rev = resp.Header.Revision
	if !resp.Succeeded {
		// The note is there if an earlier attempt was made after all.
		made := resp.Responses[0].GetResponseRange().Kvs
		if len(made) != 1 {
			return fail(ErrConflict)
		}
		s.Rev = made[0].ModRevision
	}
	n.store.prune(ctx)
	return s, nil
}
