// SPDX-License-Identifier: Apache-2.0

package labtests

import "testing"

// A mail system under clients takes most of two processors, and so do replicas that are
// written to: several at once, or anything beside them, would keep each other waiting until
// somebody's patience ends. So they are played one after the other, and by themselves.
func TestSystems(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(*testing.T)
	}{
		{"engines", testEngines},
		{"shared address", testSharedAddress},
		{"shipped", testShipped},
		{"by hand", testSystem},
		{"without directory", testSystemWithoutDirectory},
		{"directory moves", testDirectoryMoves},
		{"directory in a cluster", testDirectoryInCluster},
	} {
		t.Run(tt.name, tt.play)
	}
}
