// SPDX-License-Identifier: Apache-2.0

package api

import (
	"sync"

	"github.com/mailha/mailha/internal/state"
)

// Feed hands the latest snapshot to those who ask. Make it by NewFeed.
type Feed struct {
	mu     sync.Mutex
	latest state.Snapshot
	newer  chan struct{}
}

// NewFeed makes one whose snapshot is stale and empty.
func NewFeed() *Feed {
	return &Feed{latest: state.Snapshot{Stale: errYet}, newer: make(chan struct{})}
}

// Set makes s the latest one.
func (f *Feed) Set(s state.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = s
	close(f.newer)
	f.newer = make(chan struct{})
}

// Latest is the snapshot, and a channel that is closed when there is a newer one.
func (f *Feed) Latest() (state.Snapshot, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest, f.newer
}
