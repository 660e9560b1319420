// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"testing"

	"github.com/mailha/mailha/internal/scenario"
)

// Behind one address set for everything, each service is still stopped, started and
// mended alone, without the others noticing, and all of them move together.
func testSharedAddress(t *testing.T) {
	s := systemUp(t, "a", "pacemaker/shared-address.crm")
	deeds := scenario.Deeds()
	play := func(d scenario.Deed, p scenario.Part) {
		t.Helper()
		row, err := s.Play(t.Context(), d, p, 5, func(string) {})
		t.Logf("%s %s: %.0f ms without a greeting, %.0f ms without an echo reply, others %.0f ms; %d of %d found, %d twice, %d sessions cut",
			p.Name, d.Name, row.BlackoutMS, row.AddressMS, row.OthersMS, row.Delivered, row.Accepted, row.Duplicated, row.SessionsCut)
		if err != nil || row.Lost > 0 || row.Accepted == 0 {
			t.Errorf("%s of %s: %+v: %v", d.Name, p.Name, row, err)
		}
	}
	for _, d := range []scenario.Deed{deeds[0], scenario.KillMain()} {
		for _, p := range s.Parts() {
			play(d, p)
		}
	}
	for _, d := range deeds[1:] {
		play(d, scenario.All())
	}
}
