// SPDX-License-Identifier: Apache-2.0

package store

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

// MarkPath is empty: an instance without mailboxes has nothing that could be damaged.
func (d *Dovecot) MarkPath(agents.Facts) string { return "" }

// Identity is always the same.
func (d *Dovecot) Identity(agents.Facts) (string, error) { return "", nil }

// Recover takes away the PID file of a master that is gone. Dovecot believes it, and
// does not start, if any process at all has that number now. Sockets that were left
// are no obstacle.
func (d *Dovecot) Recover(_ context.Context, f agents.Facts, _ bool) (string, error) {
	if f.RunDir == "" {
		return "", nil
	}
	path := filepath.Join(f.RunDir, "master.pid")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a PID file that was left: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err == nil {
		ps, err := process.Find(f.Process)
		if err != nil {
			return "", err
		}
		for _, p := range ps {
			if p.PID == pid {
				return "", nil // it is the master's
			}
		}
	}
	if err := os.Remove(path); err != nil {
		return "", fmt.Errorf("remove a PID file that was left: %w", err)
	}
	return "removed the PID file of a master that is gone", nil
}

// MarkPath is beside the mailboxes.
func (a *agent) MarkPath(f agents.Facts) string {
	if f.DataDir == "" {
		return ""
	}
	return filepath.Join(f.DataDir, ".mailha-run")
}

// Identity is the marker's inode: a copy of the mailboxes has another one.
func (a *agent) Identity(f agents.Facts) (string, error) {
	info, err := os.Lstat(f.Mount.Marker)
	if err != nil {
		return "", fmt.Errorf("identify the mail file system: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("identify the mail file system: no inode numbers on this system")
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// Recover looks for torn indexes after an unclean end. Some of them Dovecot repairs
// when it meets them, but not before the client has been told of an error; of others
// it makes a new one, and an empty mailbox with it, until a message is to be saved
// there (see docs/dovecot.md). What is found is put right by Mend. No more than a
// fifth of the time, and two seconds, is spent on it: clients wait.
func (a *agent) Recover(ctx context.Context, f agents.Facts, clean bool) (string, error) {
	did, err := a.Dovecot.Recover(ctx, f, clean)
	if err != nil || clean || f.DataDir == "" {
		return did, err
	}
	const most, part = 2 * time.Second, 5
	ctx, cancel := portion(ctx, most, part)
	defer cancel()
	s := walk(ctx, f.DataDir)
	a.torn = s.torn
	did = join(did, fmt.Sprintf("looked at the indexes of %d mailboxes, %d are torn", s.mailboxes, len(s.torn)))
	if !s.complete {
		did = join(did, "there was no time for the others below "+f.DataDir+": doveadm force-resync -u USER '*' repairs what a user complains about")
	}
	return did, nil
}

// portion is a part of the time that is left, and no more than so much.
func portion(ctx context.Context, most time.Duration, part int) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/time.Duration(part))
	}
	return context.WithTimeout(ctx, most)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
