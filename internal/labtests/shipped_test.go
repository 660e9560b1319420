// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"testing"

	"github.com/mailha/mailha/internal/scenario"
)

// What contrib/pacemaker ships makes a cluster run a mail system, of which one
// service can be restarted without another one noticing.
func testShipped(t *testing.T) {
	// testEngines and testSharedAddress have the others.
	for name, shape := range map[string]string{"c": "pacemaker/address-per-service.pcs", "s": "pacemaker/shared-address.pcs"} {
		t.Run(shape, func(t *testing.T) {
			s := systemUp(t, name, shape)
			restart, parts := scenario.Deeds()[0], s.Parts()
			row, err := s.Play(t.Context(), restart, parts[len(parts)-2], 5, func(string) {})
			if err != nil || row.Lost > 0 || row.Accepted == 0 {
				t.Errorf("%+v: %v", row, err)
			}
		})
	}
}
