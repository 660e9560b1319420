// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/state"
)

func TestSaveAndLoad(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	n := c.join("n1", 60*time.Second)
	for i := range 5 {
		must[state.Group](t)(n.Take(ctx, state.Group{Name: fmt.Sprint("g", i)}, state.Claim{Floor: uint64(i), Why: "quote \" and <tag> ü"}))
	}
	must[state.Config](t)(c.PutConfig(ctx, state.Config{TOML: string(bytes.Repeat([]byte("# x\n"), 100_000)), By: "root"}))
	must[state.Wish](t)(c.PutWish(ctx, state.Wish{Kind: state.Standby, Node: "n2", By: "root"}))
	for i := range 300 { // more than a page
		if err := c.Note(ctx, state.Event{What: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	before := await(t, c.Watch(ctx), "the state", func(s state.Snapshot) bool { return s.Stale == nil })
	file := filepath.Join(t.TempDir(), "saved")
	var told []int
	if err := c.Save(ctx, file, func(done, total int) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if last := told[len(told)-2:]; last[0] != last[1] || len(told) < 4 {
		t.Errorf("progress was %v", told)
	}
	if err := c.Load(ctx, file, nil); err == nil {
		t.Error("loaded over what is there")
	}

	other := newCluster(t)
	if err := other.Load(ctx, file, nil); err != nil {
		t.Fatal(err)
	}
	after := await(t, other.Watch(ctx), "the state", func(s state.Snapshot) bool { return s.Stale == nil })
	plain := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Rev" }, cmp.Ignore())
	if diff := cmp.Diff([]any{before.Config, before.Groups, before.Wishes}, []any{after.Config, after.Groups, after.Wishes}, plain); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	if len(after.Nodes) != 0 || len(after.Gone) != 1 || len(after.Faults) != 0 {
		t.Errorf("got %+v", after)
	}
	if _, err := n.Put(ctx, after.Groups["g1"]); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a revision of the other cluster fits this one: %v", err)
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	third := newCluster(t)
	for name, bad := range map[string][]byte{
		"cut off":  text[:len(text)/2],
		"empty":    nil,
		"one byte": bytes.Replace(text, []byte("standby"), []byte("stanDby"), 1),
		"longer":   append(bytes.Clone(text), '\n'),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := third.Load(ctx, file, nil); !errors.Is(err, state.ErrSaved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := await(t, third.Watch(ctx), "the state", func(s state.Snapshot) bool { return s.Stale == nil }); len(s.Wishes) != 0 {
		t.Errorf("something was written: %+v", s)
	}
}
