// SPDX-License-Identifier: Apache-2.0

package quorum_test

import (
	"errors"
	"os"
	"testing"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
)

func TestOneMember(t *testing.T) {
	cfg := quorumtest.Config(t, "n1")
	if _, err := quorum.Start(t.Context(), cfg); !errors.Is(err, quorum.ErrNoData) {
		t.Fatalf("started in an empty directory: %v", err)
	}
	if err := quorum.Found(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	if err := quorum.Found(t.Context(), cfg, nil); err == nil {
		t.Error("a second cluster was made in the directory of the first")
	}
	m := quorumtest.Start(t, cfg)
	if _, err := m.Client().Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	quorumtest.Close(t, m)
	if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has the mode %v (%v)", info.Mode(), err)
	}
	m = quorumtest.Start(t, cfg)
	got, err := m.Client().Get(t.Context(), "k")
	if err != nil || got.Count != 1 {
		t.Errorf("after a restart: %v, %v", got, err)
	}
}
