// SPDX-License-Identifier: Apache-2.0

package store

import "testing"

func TestFull(t *testing.T) {
	if err := full(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := full("/proc"); err == nil { // it has no room at all
		t.Error("there is room in /proc")
	}
	if err := full("/no/such/directory"); err != nil {
		t.Error(err)
	}
}
