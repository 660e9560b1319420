// SPDX-License-Identifier: Apache-2.0

package quorum

import "testing"

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{
		"3.4.23": true, "3.4.30": true, "3.4.31": false, "3.5.0": true, "3.5.12": true, "3.5.13": false,
		"3.6.0": false, "3.7.3": false, "3.3.99": true, "2.9.9": true, "4.0.0": false, "3.5.13-rc.1": false, "": false, "x": false,
	} {
		if got := older(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}
