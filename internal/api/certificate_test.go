// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"
)

func TestCertificateThatEnds(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		left time.Duration
		want string // severity, and what
	}{
		{200 * day, ""},
		{100 * day, "warning The certificate of n1 ends on 2026-06-09, and could not be renewed"},
		{29 * day, "error The certificate of n1 ends on 2026-03-30, and could not be renewed"},
		{-day, "error The certificate of n1 has ended on 2026-02-28, and could not be renewed"},
	} {
		j := &judge{view: &view{node: "n1", now: now, expires: now.Add(tt.left)}}
		j.certificate()
		got := ""
		for _, p := range j.problems {
			got += string(p.Severity) + " " + p.What
		}
		if !strings.EqualFold(strings.TrimSuffix(got, "."), tt.want) {
			t.Errorf("%s: %q, want %q", tt.left, got, tt.want)
		}
	}
	j := &judge{view: &view{node: "n1", now: now}}
	if j.certificate(); len(j.problems) > 0 {
		t.Errorf("of a certificate that is not known: %v", j.problems)
	}
}
