// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
)

func TestShot(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	const ttl = 10 * time.Second
	n1, n2, n3 := c.join("n1", ttl), c.join("n2", ttl), c.join("n3", ttl)
	owned, err := n1.Take(ctx, state.Group{Name: "mail"}, state.Claim{Why: "first start"})
	if err != nil {
		t.Fatal(err)
	}
	shot := must[state.Shot](t)
	life := n1.Node().Session

	if _, err := n2.Aim(ctx, state.Shot{Node: "n1"}, life+1, "it is silent"); !errors.Is(err, state.ErrConflict) {
		t.Errorf("aimed at another life: %v", err)
	}
	if _, err := n2.Aim(ctx, state.Shot{Node: "n1"}, 0, "it is silent"); !errors.Is(err, state.ErrConflict) {
		t.Errorf("aimed at a node that should not be there: %v", err)
	}
	if _, err := n1.Aim(ctx, state.Shot{Node: "n1"}, life, "it is silent"); err == nil {
		t.Error("a node aimed at itself")
	}
	s := shot(n2.Aim(ctx, state.Shot{Node: "n1"}, life, "it is silent"))
	if _, err := n3.Aim(ctx, state.Shot{Node: "n1"}, life, "it is silent"); !errors.Is(err, state.ErrConflict) {
		t.Errorf("two aim at once: %v", err)
	}
	if !n1.Valid() {
		t.Error("it is gone before it is off")
	}
	s = shot(n2.Miss(ctx, s, state.Missed, "the device does not answer"))
	if s.Tries != 1 || len(s.Past) != 0 {
		t.Errorf("%+v", s)
	}
	s = shot(n3.Aim(ctx, s, life, "it is silent"))
	if _, err := n3.Take(ctx, owned, state.Claim{}); !errors.Is(err, state.ErrOwned) {
		t.Errorf("taken before it is off: %v", err)
	}
	must[state.Wish](t)(c.PutWish(ctx, state.Wish{Kind: state.Fence, Node: "n1", By: "root"})) // which is granted then
	hit := shot(n3.Hit(ctx, s, "pdu", "pdu has switched it off", state.Wish{Kind: state.Standby, Node: "n1", By: "n3"}))
	if hit.Tries != 0 || len(hit.Past) != 1 || hit.Phase != state.Off {
		t.Errorf("%+v", hit)
	}
	seen := await(t, c.Watch(ctx), "it is off", func(s state.Snapshot) bool { return s.Shots["n1"].Phase == state.Off })
	if _, present := seen.Nodes["n1"]; present {
		t.Error("it is still present")
	}
	if _, fenced := seen.Fenced(seen.Groups["mail"]); !fenced {
		t.Error("what it owned is not free")
	}
	if len(seen.Wishes) != 2 {
		t.Errorf("wishes: %+v", seen.Wishes)
	}
	if _, err := n3.Take(ctx, owned, state.Claim{Why: "n1 is off"}); err != nil {
		t.Errorf("not taken when it is off: %v", err)
	}
	select {
	case <-n1.Lost():
	case <-time.After(ttl):
		t.Error("a node that was off believes in its lease")
	}

	// One that came back is not meant by a shot at its former life.
	late := shot(n2.Aim(ctx, hit, 0, "its group could not be stopped"))
	again := c.join("n1", ttl)
	g, err := again.Take(ctx, state.Group{Name: "web"}, state.Claim{Why: "first start"})
	if err != nil {
		t.Fatal(err)
	}
	off := shot(n2.Hit(ctx, late, "pdu", "pdu has switched it off"))
	if err := again.Report(ctx, state.Report{}); err != nil {
		t.Errorf("the new life was ended: %v", err)
	}
	other := shot(n2.Aim(ctx, state.Shot{Node: "n1", Life: life, Tries: 4, Rev: off.Rev}, again.Node().Session, "it is silent"))
	if other.Tries != 0 {
		t.Errorf("what missed its former life counts: %+v", other)
	}
	if err := again.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	seen = await(t, c.Watch(ctx), "it has gone again", func(s state.Snapshot) bool { _, present := s.Nodes["n1"]; return !present })
	if w, fenced := seen.Fenced(seen.Groups[g.Name]); fenced {
		t.Errorf("what came after the shot counts as switched off: %+v", w)
	}
	if _, err := n3.Miss(ctx, late, state.Spared, "late"); !errors.Is(err, state.ErrConflict) {
		t.Errorf("somebody else's shot was changed: %v", err)
	}
}
