// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Whatever is in etcd is refused, or read and written again without a loss.
func FuzzRecords(f *testing.F) {
	const k = keys("/mailha/c/")
	for _, seed := range []string{
		``, `{}`, `{"v":1,"record":{}}`, `{"v":2}`, `{"v":1,"record":{"phase":"free"}}`, `{"v":1,"record":null}`,
		`{"v":1,"record":{"owner":"n1","epoch":18446744073709551615,"phase":"running","failures":[{"node":"n1"}],"moves":["2026-01-02T03:04:05Z"]}}`,
		`{"v":1,"record":{"kind":"ban","node":"n1","group":"g"}}`, `{"v":1,"record":{"toml":"a=1"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxRecord {
			return
		}
		judge := func(err error, again func() (any, any, error)) {
			if err != nil {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("of another kind: %v", err)
				}
				return
			}
			first, second, err := again()
			if diff := cmp.Diff(first, second); diff != "" || err != nil {
				t.Errorf("%q: %v (-first +second)\n%s", data, err, diff)
			}
		}
		kv := func(key string, value []byte) *mvccpb.KeyValue {
			return &mvccpb.KeyValue{Key: []byte(key), Value: bytes.Clone(value), ModRevision: 3, Lease: 5}
		}
		g, err := k.readGroup(kv(k.group("g"), data))
		judge(err, func() (any, any, error) {
			value, err := encode(g, 2*maxRecord)
			second, err2 := k.readGroup(kv(k.group("g"), []byte(value)))
			return g, second, errors.Join(err, err2)
		})
		n, err := k.readNode(kv(k.node("n"), data))
		judge(err, func() (any, any, error) {
			value, err := encode(n, 2*maxRecord)
			second, err2 := k.readNode(kv(k.node("n"), []byte(value)))
			return n, second, errors.Join(err, err2)
		})
		w, err := k.readWish(kv(k.wish(Ban, "g/n1"), data))
		judge(err, func() (any, any, error) {
			value, err := encode(w, 2*maxRecord)
			second, err2 := k.readWish(kv(k.wish(Ban, "g/n1"), []byte(value)))
			return w, second, errors.Join(err, err2)
		})
		_, err = readConfig(kv(k.config(), data))
		judge(err, func() (any, any, error) { return nil, nil, nil })
		_, err = readEvent(kv(k.events()+"1", data))
		judge(err, func() (any, any, error) { return nil, nil, nil })
	})
}

// Nothing of a saved state is taken that would be another record's.
func FuzzSaved(f *testing.F) {
	seal := func(body string) []byte {
		sum := sha256.Sum256([]byte(body))
		return []byte(body + hex.EncodeToString(sum[:]) + "\n")
	}
	const head = `{"mailha":"state","says":"","v":1,"cluster":"c","at":"2026-01-02T03:04:05Z","records":`
	for _, seed := range []string{
		"", head + "0}\n", head + `1}` + "\n" + `{"key":"config","value":{}}` + "\n",
		head + `1}` + "\n" + `{"key":"nodes/n1","value":{}}` + "\n", head + `2}` + "\n" + `{"key":"groups/../x","value":1}` + "\n\n",
		head + `1}` + "\n" + `{"key":"groups/g","value":{"v":1,"record":{"phase":"running","owner":"n1","epoch":3}}}` + "\n",
		head + `1}` + "\n" + `{"key":"events/1","value":{"v":1,"record":{"what":"x"}}}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		saved, err := parseSaved(seal(string(body)))
		if err != nil && !errors.Is(err, ErrSaved) {
			t.Errorf("of another kind: %v", err)
		}
		for _, g := range saved.Groups {
			if err := errors.Join(g.check(), checkName(g.Name)); err != nil {
				t.Errorf("taken: %+v: %v", g, err)
			}
		}
		for _, l := range saved.events {
			if !strings.HasPrefix(l.Key, "events/") {
				t.Errorf("taken: %q", l.Key)
			}
		}
		if _, err := parseSaved(body); err == nil && len(body) < 64 {
			t.Error("taken without a checksum")
		}
	})
}
