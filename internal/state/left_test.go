// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/quorum"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/state"
)

// What a member, a session and a watch had running ends with them.
func TestNothingRunsOn(t *testing.T) {
	before := runtime.NumGoroutine()
	cfg := quorumtest.Config(t, "n1")
	if err := quorum.Found(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	m, err := quorum.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	store := must[*state.Store](t)(state.Open(m.Client(), state.Options{Cluster: "test"}))
	ctx, cancel := context.WithCancel(t.Context())
	watch := store.Watch(ctx)
	await(t, watch, "the state", func(s state.Snapshot) bool { return s.Stale == nil })
	n := must[*state.Session](t)(store.Join(ctx, state.Node{Name: "n1", Boot: "b"}, state.Term{TTL: 2 * time.Second}))
	must[state.Group](t)(n.Take(ctx, state.Group{Name: "mail"}, state.Claim{}))
	if err := n.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range watch { // until it is closed
	}
	quorumtest.Close(t, m)
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			var stacks bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("%d goroutines more than before:\n%s", runtime.NumGoroutine()-before, stacks.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
