// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Load writes a saved state into a cluster that has none yet. unheard are all nodes
// that may have run groups since it was saved: until each of them has written down
// what it still has, nothing can be taken (Hear).
//
// Groups come back as nobody's, for whoever had them since is not known, under the
// epochs that they had: the marks beside the data raise those that have grown since.
// Their failures and moves are forgotten. What Load has written when it fails half-way
// is not whole, and is to be thrown away. progress may be nil.
func (s *Store) Load(ctx context.Context, saved Saved, unheard []string, by string, progress Progress) error {
	fail := func(err error) error { return fmt.Errorf("load the state of %s: %w", saved.Cluster, err) }
	if own := keys("/mailha/" + saved.Cluster + "/"); own != s.keys {
		return fail(fmt.Errorf("%w: it is of the cluster %q", ErrSaved, saved.Cluster))
	}
	first, rest, err := s.loaded(saved, unheard, by)
	if err != nil {
		return fail(err)
	}
	// Those who have to be heard are there before anything else, in one transaction.
	prefix := string(s.keys)
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix()).
		Then(first...).Else(clientv3.OpGet(s.keys.nodes(), clientv3.WithPrefix(), clientv3.WithKeysOnly())).Commit()
	if err != nil {
		return fail(fmt.Errorf("write to etcd: %w", err))
	}
	if !resp.Succeeded {
		var present []string
		for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
			present = append(present, strings.TrimPrefix(string(kv.Key), s.keys.nodes()))
		}
		if len(present) > 0 {
			return fail(fmt.Errorf("mailhad runs on %s: stop it on all nodes first", strings.Join(present, ", ")))
		}
		return fail(fmt.Errorf("etcd has records of this cluster already; if they are lost or wrong, remove them (etcdctl del --prefix %s), with mailhad stopped on all nodes", prefix))
	}
	total := len(rest)
	for done := 0; done < total; {
		n := fitting(rest[done:])
		ops := rest[done : done+n]
		absent := make([]clientv3.Cmp, 0, n)
		for _, op := range ops {
			absent = append(absent, unchanged(string(op.KeyBytes()), 0))
		}
		resp, err := s.client.Txn(ctx).If(absent...).Then(ops...).Commit()
		if err != nil {
			return fail(fmt.Errorf("write to etcd: %w", err))
		}
		if !resp.Succeeded {
			return fail(fmt.Errorf("%w: was mailhad started on a node meanwhile?", ErrConflict))
		}
		done += n
		if progress != nil {
			progress(done, total)
		}
	}
	return s.Note(ctx, Event{By: by, What: "the state was restored as it had been saved at " + saved.At.Format(time.RFC3339)})
}

// fitting is how many operations etcd takes at once.
func fitting(ops []clientv3.Op) int {
	size := 0
	for i, op := range ops {
		if size += len(op.ValueBytes()); i == batch || size > maxConfig && i > 0 {
			return i
		}
	}
	return len(ops)
}

// loaded is what is to be written, first and afterwards.
func (s *Store) loaded(saved Saved, unheard []string, by string) (first, rest []clientv3.Op, err error) {
	put := func(to *[]clientv3.Op, key string, record any, limit int) {
		value, encodeErr := encode(record, limit)
		if encodeErr != nil && err == nil {
			err = encodeErr
		}
		*to = append(*to, clientv3.OpPut(key, value))
	}
	at := now()
	for _, node := range slices.Compact(slices.Sorted(slices.Values(unheard))) {
		w := Wish{Kind: Hear, Node: node, By: by, Why: "the cluster was restored", Since: at}
		subject, err := w.subject()
		if err != nil {
			return nil, nil, err
		}
		put(&first, s.keys.wish(Hear, subject), w, maxRecord)
	}
	if saved.Config.TOML != "" {
		put(&rest, s.keys.config(), saved.Config, maxConfig)
	}
	for _, g := range saved.Groups {
		put(&rest, s.keys.group(g.Name), g.restored(saved.At, at), maxRecord)
	}
	back, _ := saved.Returns(at)
	for _, w := range back {
		subject, err := w.subject()
		if err != nil {
			return nil, nil, err
		}
		put(&rest, s.keys.wish(w.Kind, subject), w, maxRecord)
	}
	for _, l := range saved.events {
		rest = append(rest, clientv3.OpPut(string(s.keys)+l.Key, string(l.Value)))
	}
	return first, rest, err
}

// restored is the group as it comes back from a state that was saved then.
func (g Group) restored(then, at time.Time) Group {
	g.Why = "the cluster was restored as it was at " + then.Format(time.RFC3339)
	if g.Owner != "" {
		g.Why += fmt.Sprintf(", when it was %s on %s", g.Phase, g.Owner)
		g.Former = g.Owner
	}
	g.Owner, g.Session, g.Phase, g.Since, g.Failures, g.Moves = "", 0, Free, at, nil, nil
	g.Handed = false
	return g
}
