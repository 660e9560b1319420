// SPDX-License-Identifier: Apache-2.0

package agents_test

import (
	"testing"

	"github.com/mailha/mailha/agents"
)

func TestFull(t *testing.T) {
	if err := agents.Full(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := agents.Full("/proc"); err == nil { // it has no room at all
		t.Error("there is room in /proc")
	}
	if err := agents.Full("/no/such/directory"); err != nil {
		t.Error(err)
	}
}
