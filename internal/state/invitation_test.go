// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/internal/trust"
)

func TestInvitationIsRedeemedOnce(t *testing.T) {
	c := newCluster(t)
	var _ trust.Invitations = c.Store
	_, kept, err := trust.Invite("test", trust.Invitation{Node: "n2", By: "root"}, netip.MustParseAddrPort("192.0.2.1:1"), trust.Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Invite(t.Context(), kept, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.Invite(t.Context(), kept, time.Minute); !errors.Is(err, state.ErrConflict) {
		t.Errorf("kept twice: %v", err)
	}
	i := must[trust.Invitation](t)(c.Invitation(t.Context(), kept.ID))
	if left := time.Until(i.Until); left < 50*time.Second || left > time.Minute || i.Hash != kept.Hash {
		t.Errorf("got %+v", i)
	}
	var won atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch err := c.Redeem(t.Context(), i); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, trust.ErrToken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("redeemed %d times", won.Load())
	}
	for _, id := range []string{kept.ID, "", "../nodes/n1", "none"} {
		if _, err := c.Invitation(t.Context(), id); !errors.Is(err, trust.ErrToken) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
