// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/clock"
)

// Snapshot is the whole state at one revision. It belongs to all who got it, and
// must not be changed. Events are not in it.
type Snapshot struct {
	Revision int64
	Config   Config // its Rev is 0 if there is none yet
	Nodes    map[string]Node
	Groups   map[string]Group // a group without a record was never taken
	Wishes   []Wish           // by kind and subject; also those that are over
	// Reports are what the nodes say of their resources, by node.
	Reports map[string]Report
	// Shots are the latest attempts to have nodes fenced, by node.
	Shots map[string]Shot
	// Gone is for each node that owns a group and is not present: when this watch
	// first knew. Its lease had ended in etcd by then. The count begins anew when
	// the watch had to.
	Gone map[string]clock.Time
	// Promised is for nodes that could not reach etcd until when this node takes nothing
	// of theirs. The watch does not know; whoever promised fills it in.
	Promised map[string]clock.Time
	// Faults are records that cannot be read, which are left out. Nothing can be
	// taken that has such a record.
	Faults []error
	// Stale says why what is here may be old: etcd has no majority, or does not
	// answer. Nothing may be decided on it. nil is fresh.
	Stale error
	// Heard is when etcd last confirmed it.
	Heard clock.Time
}

const (
	// A watch asks each askEvery whether it is still served, and is stale after
	// staleAfter without any word.
	askEvery   = time.Second
	staleAfter = 4 * time.Second
	retryAfter = 200 * time.Millisecond
)

// Watch tells the state, first as it is and then after each change. Whoever is
// slow misses what was in between, never the latest. It goes on through whatever
// befalls etcd, and tells so (Snapshot.Stale); the channel is closed when ctx ends.
// The first snapshot is stale and empty if etcd cannot be reached.
func (s *Store) Watch(ctx context.Context) <-chan Snapshot {
	w := &watch{store: s, out: make(chan Snapshot, 1)}
	go func() {
		defer close(w.out)
		for ctx.Err() == nil {
			err := w.follow(ctx)
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, errElsewhere) {
				continue
			}
			w.stale(err)
			select {
			case <-ctx.Done():
			case <-time.After(retryAfter):
			}
		}
	}()
	return w.out
}

// watch is one follower; only its own goroutine uses it.
type watch struct {
	store *Store
	out   chan Snapshot
	last  Snapshot
	raw   map[string]*mvccpb.KeyValue
	gone  map[string]clock.Time
}

// emit offers a snapshot in the place of one that nobody has fetched.
func (w *watch) emit(s Snapshot) {
	w.last = s
	select {
	case <-w.out:
	default:
	}
	w.out <- s // there is room: nobody else sends
}

func (w *watch) stale(why error) {
	if w.last.Stale != nil {
		return // told before
	}
	w.store.log.Warn("the state of the cluster cannot be followed", "error", why)
	s := w.last
	s.Stale = fmt.Errorf("the cluster's state is not confirmed: %w", why)
	w.emit(s)
}

// errElsewhere: the client asks another member by now. What it told before goes on there
// until it ends by itself, which takes seconds if that member's machine loses its power.
var errElsewhere = errors.New("another member of etcd is asked")

// follow reads everything and then each change, until etcd fails it.
func (w *watch) follow(ctx context.Context) error {
	asked := w.store.client.Endpoints()
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	rev, err := w.list(ctx)
	if err != nil {
		return err
	}
	prefix := string(w.store.keys)
	// The client waits until the watch is made, for ever if need be.
	tooLong := time.AfterFunc(staleAfter, cancel)
	changes := w.store.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1), clientv3.WithProgressNotify())
	if !tooLong.Stop() {
		return fmt.Errorf("etcd has not begun to tell changes within %s", staleAfter)
	}
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		select {
		case resp, open := <-changes:
			if !open {
				return errors.New("etcd ended the watch")
			}
			if err := resp.Err(); err != nil { // compacted away, too: then it is read anew
				return fmt.Errorf("watch etcd: %w", err)
			}
			w.last.Heard = w.store.clock.Now()
			if w.apply(resp.Events) {
				w.emit(w.snapshot(resp.Header.Revision))
			}
		case <-ask.C:
			if !slices.Equal(asked, w.store.client.Endpoints()) {
				return errElsewhere
			}
			silent := w.store.clock.Now().Sub(w.last.Heard)
			if silent > staleAfter {
				return fmt.Errorf("etcd has not answered for %s", silent.Round(time.Millisecond))
			}
			if err := w.ask(ctx); err != nil {
				return fmt.Errorf("watch etcd: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask wants a sign of life on the watch's own stream.
func (w *watch) ask(ctx context.Context) error {
	// The stream is found by the context's metadata, which this one shares.
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	return w.store.client.RequestProgress(ctx)
}

// list reads everything, of one revision that a majority has confirmed.
func (w *watch) list(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	raw := map[string]*mvccpb.KeyValue{}
	var rev int64
	// In parts that leave the events out, all as of the first one's revision.
	for _, prefix := range []string{w.store.keys.config(), w.store.keys.nodes(), w.store.keys.groups(), w.store.keys.wishes(), w.store.keys.reports(), w.store.keys.shots()} {
		opts := []clientv3.OpOption{clientv3.WithPrefix()}
		if rev != 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		resp, err := w.store.client.Get(ctx, prefix, opts...)
		if err != nil {
			return 0, fmt.Errorf("read etcd: %w", err)
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			raw[string(kv.Key)] = kv
		}
	}
	w.raw, w.gone = raw, nil
	w.last.Heard = w.store.clock.Now()
	w.emit(w.snapshot(rev))
	return rev, nil
}

// apply says whether anything changed that a snapshot shows.
func (w *watch) apply(events []*clientv3.Event) bool {
	changed := false
	for _, e := range events {
		key := string(e.Kv.Key)
		if !w.shown(key) {
			continue
		}
		changed = true
		if e.Type == clientv3.EventTypeDelete {
			delete(w.raw, key)
		} else {
			w.raw[key] = e.Kv
		}
	}
	return changed
}

func (w *watch) shown(key string) bool {
	k := w.store.keys
	return key == k.config() || strings.HasPrefix(key, k.nodes()) || strings.HasPrefix(key, k.groups()) ||
		strings.HasPrefix(key, k.wishes()) || strings.HasPrefix(key, k.reports()) || strings.HasPrefix(key, k.shots())
}

// snapshot is what was read and heard so far.
func (w *watch) snapshot(rev int64) Snapshot {
	k := w.store.keys
	s := Snapshot{
		Revision: rev, Heard: w.last.Heard,
		Nodes: map[string]Node{}, Groups: map[string]Group{}, Gone: map[string]clock.Time{}, Reports: map[string]Report{}, Shots: map[string]Shot{},
	}
	fault := func(err error) bool {
		if err != nil {
			s.Faults = append(s.Faults, err)
		}
		return err != nil
	}
	for _, key := range slices.Sorted(maps.Keys(w.raw)) {
		kv := w.raw[key]
		switch {
		case key == k.config():
			if c, err := readConfig(kv); !fault(err) {
				s.Config = c
			}
		case strings.HasPrefix(key, k.nodes()):
			if n, err := k.readNode(kv); !fault(err) {
				s.Nodes[n.Name] = n
			}
		case strings.HasPrefix(key, k.groups()):
			if g, err := k.readGroup(kv); !fault(err) {
				s.Groups[g.Name] = g
			}
		case strings.HasPrefix(key, k.wishes()):
			if wish, err := k.readWish(kv); !fault(err) {
				s.Wishes = append(s.Wishes, wish)
			}
		case strings.HasPrefix(key, k.reports()):
			if r, err := k.readReport(kv); !fault(err) {
				s.Reports[r.Node] = r
			}
		case strings.HasPrefix(key, k.shots()):
			if shot, err := k.readShot(kv); !fault(err) {
				s.Shots[shot.Node] = shot
			}
		}
	}
	for _, g := range s.Groups {
		if _, present := w.raw[k.node(g.Owner)]; g.Owner == "" || present {
			continue
		}
		at, known := w.gone[g.Owner]
		if !known {
			at = s.Heard
		}
		s.Gone[g.Owner] = at
	}
	w.gone = s.Gone
	return s
}
