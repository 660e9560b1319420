// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
)

// saved is a state with something of everything, in a file.
func saved(t *testing.T, c *cluster) string {
	t.Helper()
	ctx := t.Context()
	n := c.join("n1", 60*time.Second)
	for i := range 5 {
		g := must[state.Group](t)(n.Take(ctx, state.Group{Name: fmt.Sprint("g", i)}, state.Claim{Floor: uint64(i), Why: "quote \" and <tag> ü"}))
		if i == 1 {
			g.Phase, g.Failures = state.Failed, []state.Failure{{Node: "n1", Resource: "r", Fatal: true}}
			must[state.Group](t)(n.Put(ctx, g))
		}
		if i == 2 {
			must[state.Group](t)(n.Free(ctx, g, "moves"))
		}
	}
	must[state.Config](t)(c.PutConfig(ctx, state.Config{TOML: string(bytes.Repeat([]byte("# x\n"), 100_000)), By: "root"}))
	for _, w := range []state.Wish{
		{Kind: state.Standby, Node: "n2"},
		{Kind: state.Ban, Group: "g1", Node: "n2", Until: time.Now().Add(time.Hour)},
		{Kind: state.Ban, Group: "g1", Node: "n3", Until: time.Now().Add(-time.Second)},
		{Kind: state.Stop, Resource: "r"},
		{Kind: state.StopGroup, Group: "g4"},
		{Kind: state.Maintenance, Until: time.Now().Add(time.Hour)},
		{Kind: state.Fenced, Node: "n3"},
		{Kind: state.Move, Group: "g0", Node: "n2"},
		{Kind: state.Restart, Resource: "r"},
	} {
		w.By = "root"
		must[state.Wish](t)(c.PutWish(ctx, w))
	}
	for i := range 300 { // more than a page
		if err := c.Note(ctx, state.Event{What: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "saved")
	var told []int
	if err := c.Save(ctx, file, func(done, total int) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	if last := told[len(told)-2:]; last[0] != last[1] || len(told) < 4 {
		t.Errorf("progress was %v", told)
	}
	return file
}

func fresh(s state.Snapshot) bool { return s.Stale == nil }

func TestSaveAndLoad(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	file := saved(t, c)
	before := await(t, c.Watch(ctx), "the state", fresh)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	read := must[state.Saved](t)(state.ReadSaved(file))
	if err := c.Load(ctx, read, []string{"n1"}, "root", nil); err == nil || !strings.Contains(err.Error(), "mailhad runs on n1") {
		t.Errorf("loaded over what is there: %v", err)
	}

	other := newCluster(t)
	if err := other.Load(ctx, read, []string{"n1", "n2", "n1"}, "root", nil); err != nil {
		t.Fatal(err)
	}
	after := await(t, other.Watch(ctx), "the state", fresh)
	if after.Config.TOML != before.Config.TOML || len(after.Groups) != len(before.Groups) {
		t.Errorf("got %d bytes of configuration and %d groups", len(after.Config.TOML), len(after.Groups))
	}
	for name, g := range after.Groups {
		was := before.Groups[name]
		if g.Owner != "" || g.Phase != state.Free || g.Epoch != was.Epoch || g.Former != "n1" || g.Handed || len(g.Failures)+len(g.Moves) > 0 {
			t.Errorf("%+v came back as %+v", was, g)
		}
	}
	var wishes []string
	for _, w := range after.Wishes {
		wishes = append(wishes, w.String())
	}
	want := []string{"the ban of g1 from n2", "the wait for what n1 still has", "the wait for what n2 still has", "standby of n2", "a stop of group g4", "a stop of r"}
	if !slices.Equal(wishes, want) {
		t.Errorf("the wishes are %q", wishes)
	}
	if len(after.Nodes) != 0 || len(after.Gone) != 0 || len(after.Faults) != 0 || !slices.Equal(after.Unheard(), []string{"n1", "n2"}) {
		t.Errorf("got %+v", after)
	}
	if err := other.Load(ctx, read, nil, "root", nil); err == nil || !strings.Contains(err.Error(), "etcdctl del --prefix /mailha/test/") {
		t.Errorf("loaded twice: %v", err)
	}
	events, err := other.Events(ctx, 1)
	if err != nil || len(events) != 1 || !strings.Contains(events[0].What, "was restored") {
		t.Errorf("the last event is %+v, %v", events, err)
	}
}

// After a restore nobody can take anything, whatever it has seen, before every node has
// written down what it still has; and what one has is its own until it is gone there.
func TestNothingIsTakenBeforeAllAreHeard(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	read := must[state.Saved](t)(state.ReadSaved(saved(t, c)))
	other := newCluster(t)
	if err := other.Load(ctx, read, []string{"n1", "n2"}, "root", nil); err != nil {
		t.Fatal(err)
	}
	n1, n2 := other.join("n1", 60*time.Second), other.join("n2", 60*time.Second)
	watch := other.Watch(ctx)
	s := await(t, watch, "the state", fresh)
	none := func(when string) {
		t.Helper()
		for _, g := range []state.Group{s.Groups["g0"], s.Groups["g2"], {Name: "unknown"}} {
			if _, err := n1.Take(ctx, g, state.Claim{}); !errors.Is(err, state.ErrUnheard) {
				t.Errorf("%s %s: %v", g.Name, when, err)
			}
		}
	}
	none("when nobody was heard")
	heard := func(node string) {
		t.Helper()
		for _, w := range s.Wishes {
			if w.Kind == state.Hear && w.Node == node {
				if err := other.EndWish(ctx, w, node, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	heard("n1")
	none("when n2 was not heard")
	g := must[state.Group](t)(n2.Adopt(ctx, s.Groups["g0"], "left"))
	heard("n2")
	if _, err := n1.Take(ctx, g, state.Claim{}); !errors.Is(err, state.ErrOwned) {
		t.Errorf("what n2 still has was taken: %v", err)
	}
	epoch := s.Groups["g2"].Epoch
	if taken := must[state.Group](t)(n1.Take(ctx, s.Groups["g2"], state.Claim{})); taken.Epoch != epoch+1 {
		t.Errorf("epoch %d follows %d", taken.Epoch, epoch)
	}
}

func TestSavedThatWasChanged(t *testing.T) {
	file := saved(t, newCluster(t))
	text := must[[]byte](t)(os.ReadFile(file))
	if first, _, _ := bytes.Cut(text, []byte("\n")); !bytes.Contains(first, []byte("what the mailha cluster test had agreed on at 2")) {
		t.Errorf("it begins with %s", first)
	}
	for name, bad := range map[string][]byte{
		"cut off":  text[:len(text)/2],
		"empty":    nil,
		"one byte": bytes.Replace(text, []byte("standby"), []byte("stanDby"), 1),
		"longer":   append(bytes.Clone(text), '\n'),
	} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := state.ReadSaved(file); !errors.Is(err, state.ErrSaved) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
