// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// Drain suspends the queue manager, which is the one that hands messages to
// delivery agents, and waits until no delivery is under way. Each agent notes in
// the message itself what it has delivered before it reports, so that the next
// start knows, and nothing is delivered twice. The stop that follows ends the
// suspended queue manager.
func (p *Postfix) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	// A look costs milliseconds that Postfix needs as well: short drains end at
	// once, long ones are looked at less often.
	const soon, late = 10 * time.Millisecond, 50 * time.Millisecond
	for pause := soon; ; pause = min(2*pause, late) {
		ps, err := process.Find(f.Process)
		if err != nil {
			return 0, err
		}
		awake, err := suspend(ps)
		if err != nil {
			return 0, err
		}
		// Without talks, each lock counts for as long as it is held.
		talks, talksErr := talksOf(ctx, ps)
		left, err := underWay(f, talks)
		if err != nil || left == 0 && !awake {
			return 0, err
		}
		tell(left)
		select {
		case <-ctx.Done():
			return left, talksErr
		case <-time.After(pause):
		}
	}
}

// isQueueManager knows both of them: qmgr(8) and oqmgr(8).
func isQueueManager(p process.Process) bool { return p.Name == "qmgr" || p.Name == "oqmgr" }

// suspend stops the queue managers that are awake, and says whether there were
// any: they may have sent another request meanwhile. Postfix starts one that
// has died anew.
func suspend(ps []process.Process) (awake bool, err error) {
	const stopped = 'T' // proc(5) stat
	for _, p := range ps {
		if !isQueueManager(p) || p.State == stopped {
			continue
		}
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return true, err
		}
		awake = true
	}
	return awake, nil
}

// underWay counts the deliveries that have not ended. An agent that is sent a
// request locks the message, delivers it, reports, and waits for the queue
// manager to hang up before it lets go of the lock: deliver_request(3). With the
// queue manager suspended it waits for ever, although all is done.
//
// The talks must be older than what is looked at here: an agent may read its
// request, and lock the message, at any time.
func underWay(f agents.Facts, talks map[int]talk) (int, error) {
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	begin, deliver := sortOut(ps, talks)
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
		if ok && deliver[l.pid] && active[l.inode] {
			held[l.inode] = true
		}
	}
	return begin + len(held), nil
}

// sortOut tells how many of the processes are on their way to a lock, and which
// may hold one because they deliver.
func sortOut(ps []process.Process, talks map[int]talk) (begin int, deliver map[int]bool) {
	const sleeping = 'S' // proc(5) stat
	deliver = map[int]bool{}
	for _, p := range ps {
		t, talking := talks[p.PID]
		switch {
		case isQueueManager(p): // may have been suspended with a lock in its hands
		case t.reported:
		case t.asked, talking && p.State != sleeping:
			begin++
		default:
			deliver[p.PID] = true
		}
	}
	return begin, deliver
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
