// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// Settle suspends the queue manager, which is the one that hands messages to
// delivery agents, and waits until no delivery agent holds a lock on a message.
// Each notes in the message itself what it has delivered before it lets go of
// it, so that the next start knows, and nothing is delivered twice. The stop
// that follows ends the suspended queue manager.
func (p *postfix) Settle(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	managers := slices.DeleteFunc(slices.Clone(ps), func(q process.Process) bool { return !isQueueManager(q) })
	for _, q := range managers {
		if err := q.Signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
	}
	const pause = 10 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		left, err := underWay(f)
		if err != nil || left == 0 {
			return 0, err
		}
		tell(left)
		select {
		case <-ctx.Done():
			return left, nil
		case <-tick.C:
		}
	}
}

// isQueueManager knows both of them: qmgr(8) and oqmgr(8).
func isQueueManager(p process.Process) bool { return p.Name == "qmgr" || p.Name == "oqmgr" }

// underWay counts the messages that delivery agents have locked.
func underWay(f agents.Facts) (int, error) {
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	// A queue manager may have been suspended with a lock in its hands.
	agents := map[int]bool{}
	for _, p := range ps {
		agents[p.PID] = !isQueueManager(p)
	}
	active, err := inodes(filepath.Join(f.DataDir, "active"))
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	held := map[uint64]bool{}
	for line := range strings.Lines(string(data)) {
		l, ok := parseLock(line)
		// The device is not compared: for a file on an overlay it is another
		// one in proc(5) locks than in stat(2).
		if ok && agents[l.pid] && active[l.inode] {
			held[l.inode] = true
		}
	}
	return len(held), nil
}

// lock is one line of proc(5) locks.
type lock struct {
	pid   int
	inode uint64
}

// parseLock leaves out waiters ("->"), which hold nothing.
func parseLock(line string) (lock, bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] == "->" {
		return lock{}, false
	}
	pid, err := strconv.Atoi(f[4])
	if err != nil || pid <= 0 {
		return lock{}, false
	}
	inode, err := strconv.ParseUint(f[5][strings.LastIndexByte(f[5], ':')+1:], 10, 64)
	if err != nil {
		return lock{}, false
	}
	return lock{pid: pid, inode: inode}, true
}

// inodes lists those of all files below dir. What vanishes meanwhile is done.
func inodes(dir string) (map[uint64]bool, error) {
	found := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			found[st.Ino] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return found, nil
}
