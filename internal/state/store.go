// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mailha/mailha/internal/clock"
)

// What stands in the way of a change, as far as the caller acts on it
// differently. After any other error of a change it is unknown whether it was
// made: the next snapshot says.
var (
	// ErrConflict: the record is no longer what the caller had read.
	ErrConflict = errors.New("somebody else was quicker")
	// ErrLost: the session has lost its lease or its presence. Nothing that it
	// owned may be acted on any more.
	ErrLost = errors.New("this node has lost its lease")
	// ErrOwned: the group's owner is present, and only itself may give it up.
	ErrOwned = errors.New("its owner is present")
	// ErrUnheard: the cluster was restored, and a node has not written down yet what
	// it still has.
	ErrUnheard = errors.New("the cluster was restored, and not every node has been heard of since")
)

// Options are what a store needs beside a client of etcd.
type Options struct {
	Cluster string      // the name of the cluster
	Clock   clock.Clock // nil: clock.Boot
	Log     *slog.Logger
	// Agreed is until when every other node has promised to take nothing of this one's,
	// counted from before it was asked; 0: not all of them have. A session
	// counts it in the place of a renewal when etcd does not answer, and never when etcd
	// says that the lease is gone. Nil: a session goes by etcd alone.
	Agreed func() clock.Time
}

// Store is the state of one cluster in etcd. Its methods may be called from
// several goroutines; each is bounded by its context, which should have a deadline,
// and goes on through the loss of etcd's leader.
type Store struct {
	client  *clientv3.Client
	keys    keys
	clock   clock.Clock
	log     *slog.Logger
	agreed  func() clock.Time
	written atomic.Int64 // events since the last pruning
}

// Open makes a store on a client, which the caller closes after the store's
// watches and sessions have ended. It asks etcd nothing yet.
func Open(client *clientv3.Client, opt Options) (*Store, error) {
	if err := checkName(opt.Cluster); err != nil {
		return nil, fmt.Errorf("open the state of a cluster: %w", err)
	}
	s := &Store{client: client, keys: keys("/mailha/" + opt.Cluster + "/"), clock: opt.Clock, log: opt.Log, agreed: opt.Agreed}
	if s.clock == nil {
		s.clock = clock.Boot{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// now is the time that goes into records.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// unchanged is true in etcd as long as the record under the key is of that
// revision; 0 is one that is not there.
func unchanged(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}

// Config is the configuration that the cluster runs, as a majority knows it; its Rev is 0
// if it has none yet.
func (s *Store) Config(ctx context.Context) (Config, error) {
	resp, err := s.client.Get(ctx, s.keys.config())
	if err != nil {
		return Config{}, fmt.Errorf("ask etcd for the configuration: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return Config{}, nil
	}
	return readConfig(resp.Kvs[0])
}

// PutConfig makes the configuration that the cluster runs. c.Rev is that of the
// one which it replaces, 0 for none. The result has its revision.
// It returns ErrConflict.
func (s *Store) PutConfig(ctx context.Context, c Config) (Config, error) {
	c.Since = now()
	value, err := encode(c, maxConfig)
	if err != nil {
		return Config{}, err
	}
	key := s.keys.config()
	rev, err := s.change(ctx, unchanged(key, c.Rev), clientv3.OpPut(key, value),
		Event{By: c.By, What: "the configuration was changed"})
	if err != nil {
		return Config{}, fmt.Errorf("change the configuration: %w", err)
	}
	c.Rev = rev
	return c, nil
}

// PutWish notes what an operator asks for. There is one wish for each subject
// (a move for each group, a standby for each node …); w.Rev is that of the one
// which it replaces, 0 for none. It returns ErrConflict.
func (s *Store) PutWish(ctx context.Context, w Wish) (Wish, error) {
	subject, err := w.subject()
	if err != nil {
		return Wish{}, err
	}
	if w.Since.IsZero() {
		w.Since = now()
	}
	value, err := encode(w, maxRecord)
	if err != nil {
		return Wish{}, err
	}
	key := s.keys.wish(w.Kind, subject)
	rev, err := s.change(ctx, unchanged(key, w.Rev), clientv3.OpPut(key, value), w.event("asked for "+w.String()))
	if err != nil {
		return Wish{}, fmt.Errorf("ask for %s: %w", w, err)
	}
	w.Rev = rev
	return w, nil
}

// EndWish takes a wish back, as read from a snapshot: by is who, why may say for
// what reason ("it was fulfilled"). It returns ErrConflict.
func (s *Store) EndWish(ctx context.Context, w Wish, by, why string) error {
	subject, err := w.subject()
	if err != nil {
		return err
	}
	event := w.event("ended " + w.String())
	event.By = by
	if why != "" {
		event.What += ": " + why
	}
	key := s.keys.wish(w.Kind, subject)
	if _, err := s.change(ctx, unchanged(key, w.Rev), clientv3.OpDelete(key), event); err != nil {
		return fmt.Errorf("end %s: %w", w, err)
	}
	return nil
}

// change makes one change and notes the event with it, or neither. It returns
// the revision of both.
func (s *Store) change(ctx context.Context, if_ clientv3.Cmp, op clientv3.Op, e Event) (int64, error) {
	note, err := s.note(e)
	if err != nil {
		return 0, err
	}
	key := string(op.KeyBytes())
	resp, err := s.commit(ctx, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return s.client.Txn(ctx).If(if_).Then(op, note).Else(clientv3.OpGet(key), clientv3.OpGet(string(note.KeyBytes()))).Commit()
	})
	if err != nil {
		return 0, fmt.Errorf("write to etcd: %w", err)
	}
	if !resp.Succeeded {
		// Its own note is there if an earlier attempt was made after all.
		if ours := resp.Responses[1].GetResponseRange().Kvs; len(ours) == 1 {
			return ours[0].ModRevision, nil
		}
		return 0, ErrConflict
	}
	s.prune(ctx)
	return resp.Header.Revision, nil
}

// writeAgain is how long is waited between two attempts to write.
const writeAgain = 10 * time.Millisecond

// attempt is how long the nth attempt to write may take, from 0. One that was on its way
// to a leader that died is lost, and etcd says so after seven seconds at the earliest. Each
// is cut off before that: soon as long as an election may be under way, as every attempt
// that is lost has a lost node's address away for longer; later where etcd is just slow.
func attempt(n int) time.Duration {
	const (
		first, quick = 80 * time.Millisecond, 5 // ten times what a write takes on a disk of today
		then, more   = 300 * time.Millisecond, 8
		slow         = 3 * time.Second
	)
	switch {
	case n < quick:
		return first
	case n < quick+more:
		return then
	}
	return slow
}

// commit makes a transaction, again and again until etcd has an answer or ctx
// ends. The transaction has to be one that shows when it was made before.
func (s *Store) commit(ctx context.Context, txn func(context.Context) (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
	for i := 0; ; i++ {
		one, cancel := context.WithTimeout(ctx, attempt(i))
		resp, err := txn(one)
		cancel()
		if err == nil || ctx.Err() != nil || !again(err) {
			return resp, err
		}
		s.log.Info("a write to etcd is tried again", "error", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(writeAgain):
		}
	}
}

// again says whether another attempt may help: nothing is wrong with what was asked.
func again(err error) bool {
	code := status.Code(err)
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		code = etcd.Code()
	}
	return errors.Is(err, context.DeadlineExceeded) || code == codes.Unavailable || code == codes.DeadlineExceeded
}

// note is the event as part of a transaction.
func (s *Store) note(e Event) (clientv3.Op, error) {
	at := e.At
	if at.IsZero() {
		at = time.Now().UTC()
		e.At = at.Truncate(time.Millisecond)
	}
	value, err := encode(e, maxRecord)
	if err != nil {
		return clientv3.Op{}, err
	}
	// In the order of time, as far as the nodes' clocks agree; no two alike.
	return clientv3.OpPut(fmt.Sprintf("%s%020d-%s", s.keys.events(), at.UnixNano(), rand.Text()[:8]), value), nil
}
