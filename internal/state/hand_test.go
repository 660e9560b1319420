// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
)

func TestHand(t *testing.T) {
	c := newCluster(t)
	group := must[state.Group](t)
	n1, n2 := c.join("n1", 10*time.Second), c.join("n2", 10*time.Second)
	ctx := t.Context()
	g := group(n1.Take(ctx, state.Group{Name: "mail"}, state.Claim{Why: "first start"}))
	if _, err := n2.Hand(ctx, g, n2.Node(), state.Claim{}); err == nil {
		t.Error("handed over by one who does not own it")
	}
	if _, err := n1.Hand(ctx, g, n1.Node(), state.Claim{}); err == nil {
		t.Error("handed over to oneself")
	}
	given := group(n1.Hand(ctx, g, n2.Node(), state.Claim{Why: "the wish of root"}))
	if !n2.Owns(given) || given.Former != "n1" || given.Epoch != 2 || given.Phase != state.Starting || !given.Handed || len(given.Moves) != 1 {
		t.Errorf("handed over: %+v", given)
	}
	if _, err := n1.Put(ctx, g); err == nil {
		t.Error("written by the former owner")
	}
	given.Phase = state.Running
	if given = group(n2.Put(ctx, given)); given.Handed {
		t.Error("the proof outlives the start")
	}

	// Nobody gets it for a session that has ended: others would wait for that one.
	to := n1.Node()
	if err := n1.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	now, err := n2.Hand(ctx, given, to, state.Claim{})
	if !errors.Is(err, state.ErrOwned) || !n2.Owns(now) {
		t.Errorf("handed to one who is gone: %+v, %v", now, err)
	}
	if c.join("n1", 10*time.Second); !errors.Is(errOf(n2.Hand(ctx, given, to, state.Claim{})), state.ErrOwned) {
		t.Error("handed to an earlier session")
	}
}

func errOf(_ state.Group, err error) error { return err }
