// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"slices"
	"strings"
	"testing"
)

// The scripts have names and addresses of their own, which must be the same.
func TestScriptsHaveTheSameNames(t *testing.T) {
	script, err := scripts.ReadFile("furnish/names.sh")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(script))
	for _, want := range []string{
		"domain=" + Domain, "suffix=" + Suffix, "sink4=" + sinkAddr,
		"mta4=" + MTAAddr4, "mta6=" + MTAAddr6, "directory4=" + DirectoryAddr4, "directory6=" + DirectoryAddr6,
		"store4=" + StoreAddr4, "store6=" + StoreAddr6, "front4=" + FrontAddr4, "front6=" + FrontAddr6,
	} {
		if !slices.Contains(words, want) {
			t.Errorf("names.sh does not have %s", want)
		}
	}
}
