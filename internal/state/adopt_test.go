// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
)

func TestAdopt(t *testing.T) {
	c := newCluster(t)
	group := must[state.Group](t)
	n1, n2 := c.join("n1", 10*time.Second), c.join("n2", 10*time.Second)
	ctx := t.Context()
	g := group(n1.Take(ctx, state.Group{Name: "mail"}, state.Claim{Why: "first start"}))
	if _, err := n1.Adopt(ctx, g, ""); err == nil {
		t.Error("adopted though it is this session's own already")
	}
	if _, err := n2.Adopt(ctx, g, ""); err == nil {
		t.Error("adopted from another node")
	}
	left := group(n2.Adopt(ctx, state.Group{Name: "left"}, "it was here"))
	if left.Owner != "n2" || left.Epoch != 1 || left.Phase != state.Stopping || !n2.Owns(left) {
		t.Errorf("adopted: %+v", left)
	}
	if _, err := n1.Take(ctx, left, state.Claim{}); !errors.Is(err, state.ErrOwned) {
		t.Errorf("taken though it was adopted: %v", err)
	}
	// The next daemon of the node goes on with it.
	n1 = c.join("n1", 10*time.Second)
	again := group(n1.Adopt(ctx, g, "it was here"))
	if again.Owner != "n1" || again.Epoch != g.Epoch || !n1.Owns(again) || n1.Owns(g) {
		t.Errorf("adopted again: %+v", again)
	}
	// What could not be stopped is not on its way for that.
	again.Phase = state.Failed
	failed := group(n1.Put(ctx, again))
	n1 = c.join("n1", 10*time.Second)
	if again = group(n1.Adopt(ctx, failed, "it is still here")); again.Phase != state.Failed || !n1.Owns(again) {
		t.Errorf("adopted when it could not be stopped: %+v", again)
	}
	if free := group(n1.Free(ctx, again, "it is gone")); free.Epoch != g.Epoch || free.Former != "n1" {
		t.Errorf("freed: %+v", free)
	}
}
