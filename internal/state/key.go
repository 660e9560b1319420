// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// keys makes the keys of a cluster. It is their prefix, with the slash at the end.
type keys string

func (k keys) config() string            { return string(k) + "config" }
func (k keys) nodes() string             { return string(k) + "nodes/" }
func (k keys) node(name string) string   { return k.nodes() + name }
func (k keys) groups() string            { return string(k) + "groups/" }
func (k keys) group(name string) string  { return k.groups() + name }
func (k keys) wishes() string            { return string(k) + "wishes/" }
func (k keys) reports() string           { return string(k) + "reports/" }
func (k keys) report(node string) string { return k.reports() + node }
func (k keys) shots() string             { return string(k) + "shots/" }
func (k keys) shot(node string) string   { return k.shots() + node }
func (k keys) events() string            { return string(k) + "events/" }

func (k keys) wish(kind Kind, subject string) string {
	return k.wishes() + string(kind) + "/" + subject
}

func readConfig(kv *mvccpb.KeyValue) (Config, error) {
	c := Config{}
	err := decode(string(kv.Key), kv.Value, maxConfig, &c)
	c.Rev = kv.ModRevision
	return c, err
}

func (k keys) readNode(kv *mvccpb.KeyValue) (Node, error) {
	n := Node{}
	err := decode(string(kv.Key), kv.Value, maxRecord, &n)
	n.Name, n.Session, n.Rev = strings.TrimPrefix(string(kv.Key), k.nodes()), SessionID(kv.Lease), kv.ModRevision
	if err == nil && kv.Lease == 0 {
		err = fmt.Errorf("etcd's key %s: %w: a node's presence without a lease would never end", kv.Key, ErrFormat)
	}
	return n, err
}

func (k keys) readGroup(kv *mvccpb.KeyValue) (Group, error) {
	g := Group{}
	err := decode(string(kv.Key), kv.Value, maxRecord, &g)
	g.Name, g.Rev = strings.TrimPrefix(string(kv.Key), k.groups()), kv.ModRevision
	if err == nil {
		if wrong := g.check(); wrong != nil {
			err = fmt.Errorf("etcd's key %s: %w: %w", kv.Key, ErrFormat, wrong)
		}
	}
	return g, err
}

func (k keys) readWish(kv *mvccpb.KeyValue) (Wish, error) {
	w := Wish{}
	err := decode(string(kv.Key), kv.Value, maxRecord, &w)
	w.Rev = kv.ModRevision
	if err == nil {
		subject, wrong := w.subject()
		if wrong == nil && k.wish(w.Kind, subject) != string(kv.Key) {
			wrong = fmt.Errorf("it says %s of %s", w.Kind, subject)
		}
		if wrong != nil {
			err = fmt.Errorf("etcd's key %s: %w: %w", kv.Key, ErrFormat, wrong)
		}
	}
	return w, err
}

func (k keys) readReport(kv *mvccpb.KeyValue) (Report, error) {
	r := Report{}
	err := decode(string(kv.Key), kv.Value, maxReport, &r)
	r.Node, r.Session, r.Rev = strings.TrimPrefix(string(kv.Key), k.reports()), SessionID(kv.Lease), kv.ModRevision
	if err == nil {
		if wrong := r.check(); wrong != nil {
			err = fmt.Errorf("etcd's key %s: %w: %w", kv.Key, ErrFormat, wrong)
		}
	}
	return r, err
}

func readEvent(kv *mvccpb.KeyValue) (Event, error) {
	e := Event{}
	err := decode(string(kv.Key), kv.Value, maxRecord, &e)
	e.Rev = kv.ModRevision
	return e, err
}
