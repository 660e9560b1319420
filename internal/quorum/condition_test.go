// SPDX-License-Identifier: Apache-2.0

package quorum_test

import (
	"testing"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
)

func TestConditions(t *testing.T) {
	m := quorumtest.Single(t)
	other := quorumtest.Config(t, "n2")
	if err := quorum.Admit(t.Context(), m.Client(), "n2", "http://"+other.Peer.String()); err != nil {
		t.Fatal(err)
	}
	all, err := quorum.Conditions(t.Context(), m.Client())
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for _, c := range all {
		if admitted := c.Name == ""; admitted != (c.Err != nil) || admitted == c.Leads || c.Lost || !admitted && (c.Size == 0 || c.Version == "") {
			t.Errorf("got %+v", c)
		}
	}
}
