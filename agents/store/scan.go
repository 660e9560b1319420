// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// scan is a walk through the mail directory, in search of indexes that Dovecot would
// not repair by itself, or not before a client has met them. It opens no message.
type scan struct {
	mailboxes int      // that were looked at
	torn      []damage // that need repair
	complete  bool     // there was time for all
}

// damage is a mailbox, or the storage of several.
type damage struct {
	dir string
	why string
}

// walk looks at the mailboxes below a directory until ctx ends.
func walk(ctx context.Context, dir string) scan {
	const most = 16 // directories at a time: the disk is what is waited for
	w := walker{ctx: ctx, free: make(chan struct{}, most)}
	w.dir(dir, 0)
	w.all.Wait()
	slices.SortFunc(w.found.torn, func(a, b damage) int { return strings.Compare(a.dir, b.dir) })
	w.found.complete = !w.cutOff.Load()
	return w.found
}

// walker is a walk that is under way.
type walker struct {
	ctx    context.Context
	free   chan struct{}
	all    sync.WaitGroup
	cutOff atomic.Bool

	mu    sync.Mutex
	found scan
}

// dir looks at a directory, and at those in it: beside others as long as there are
// not too many.
func (w *walker) dir(dir string, depth int) {
	const deepest = 64 // where there is a loop, or something else than mail
	if w.ctx.Err() != nil || depth > deepest {
		w.cutOff.Store(true)
		return
	}
	if filepath.Base(dir) == "dbox-Mails" { // which may have very many messages
		w.look(dir, logName, sumName, "u.")
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	if has[mapLogName] || has[mapSumName] || filepath.Base(dir) == "storage" && slices.ContainsFunc(entries, isMessages) {
		w.look(dir, mapLogName, mapSumName, "m.")
		return
	}
	if has[logName] || has[sumName] {
		w.look(dir, logName, sumName, "")
	}
	maildir := has["cur"] && has["new"] && has["tmp"]
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || maildir && (name == "cur" || name == "new" || name == "tmp") {
			continue
		}
		below := filepath.Join(dir, name)
		select {
		case w.free <- struct{}{}:
			w.all.Go(func() {
				w.dir(below, depth+1)
				<-w.free
			})
		default:
			w.dir(below, depth+1)
		}
	}
}

func isMessages(e os.DirEntry) bool { return !e.IsDir() && isStorage(e.Name()) }

func (w *walker) look(dir, log, sum, messages string) {
	err := checkIndex(dir, log, sum)
	if err == nil && messages != "" && lost(dir, log, sum, messages) {
		err = fmt.Errorf("%s has messages, but no index", dir)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found.mailboxes++
	if err != nil {
		w.found.torn = append(w.found.torn, damage{dir, err.Error()})
	}
}
