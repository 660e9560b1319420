// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompose(t *testing.T) {
	parts := []string{"a", "b", "c"}
	first := Compose("# Head\n", "", parts, map[string]string{"a": "old a\n", "c": "old c\n"})
	want := "# Head\n\n<!-- part: a -->\nold a\n<!-- end: a -->\n\n<!-- part: c -->\nold c\n<!-- end: c -->\n"
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first (-want +got)\n%s", diff)
	}
	// What was not measured again stays, what has a new head gets it, and the order is that of the parts.
	second := Compose("# New\n", first, parts, map[string]string{"b": "b\n", "c": "c\n"})
	want = "# New\n\n<!-- part: a -->\nold a\n<!-- end: a -->\n\n<!-- part: b -->\nb\n<!-- end: b -->\n\n<!-- part: c -->\nc\n<!-- end: c -->\n"
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("second (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(second, Compose("# New\n", second, parts, nil)); diff != "" {
		t.Errorf("nothing new (-want +got)\n%s", diff)
	}
}

// Half a part is none.
func TestComposeFromATornPage(t *testing.T) {
	if got := Compose("h\n", "<!-- part: a -->\ntext\n", []string{"a"}, nil); got != "h\n" {
		t.Errorf("got %q", got)
	}
}
