// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/mailha/mailha/agents"
)

// Storage sees that mail can be written, also by Postfix's own user: the directories
// that it keeps mail in belong to it, mail_owner in postconf(5).
func (p *Postfix) Storage(ctx context.Context, f agents.Facts) error {
	if err := storage(f.DataDir, "pid"); err != nil {
		return err
	}
	name, err := p.postconf(ctx, "-h", "mail_owner")
	if err != nil {
		return nil // whoever looks at the configuration says so
	}
	name = strings.TrimSpace(name)
	owner, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	for _, dir := range []string{"incoming", "active", "deferred", "defer", "bounce"} {
		if err := writable(filepath.Join(f.DataDir, dir), owner); err != nil {
			return err
		}
	}
	return nil
}

// writable goes by owner and mode, as Postfix's own check does.
func writable(dir string, owner *user.User) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the queue is incomplete: %w", err)
	}
	const rwx = 0o700
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && strconv.FormatUint(uint64(st.Uid), 10) == owner.Uid && info.Mode().Perm()&rwx == rwx {
		return nil
	}
	if ok && st.Uid != 0 && strconv.FormatUint(uint64(st.Uid), 10) != owner.Uid {
		// A queue that goes from node to node: what one of them changes, the next one misses.
		return fmt.Errorf("the queue cannot be written to: %s belongs to user number %d, and %s is number %s on this node; give %[3]s the same number on all nodes (id %[3]s)", dir, st.Uid, owner.Username, owner.Uid)
	}
	return fmt.Errorf("the queue cannot be written to: %s must belong to %s, with mode 0700 (chown %[2]s %[1]s; chmod 700 %[1]s)", dir, owner.Username)
}

// Look reads the directories of the queue: postconf(5) queue_directory. The time
// of a file is when its message came in, or when the next attempt to deliver it
// is due.
func (*Postfix) Look(ctx context.Context, f agents.Facts, most int) (queue, error) {
	var q queue
	for _, name := range []string{"active", "incoming", "maildrop", "deferred"} {
		err := walk(ctx, filepath.Join(f.DataDir, name), func(path string, info fs.FileInfo) error {
			q.Messages++
			if due := info.ModTime(); q.Due.IsZero() || due.Before(q.Due) {
				q.Due, q.DueID = due, filepath.Base(path)
			}
			if q.Messages >= most {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return queue{}, err
		}
	}
	err := walk(ctx, filepath.Join(f.DataDir, "corrupt"), func(path string, _ fs.FileInfo) error {
		q.Broken = append(q.Broken, path)
		if len(q.Broken) >= most {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return queue{}, err
	}
	return q, nil
}

// Queued looks where the message's file is. The deferred queue is spread over
// directories, one or two levels of them.
func (*Postfix) Queued(f agents.Facts, id string) (where string, rests bool, err error) {
	path, err := messageFile(f, id)
	if path == "" || err != nil {
		return "", false, err
	}
	where, _, _ = strings.Cut(strings.TrimPrefix(path, f.DataDir+"/"), "/")
	return where, where == "deferred" || where == "hold" || where == "corrupt", nil
}

// QueueID finds it in "2.0.0 Ok: queued as 4Zx1yT0gqHz9sK".
func (*Postfix) QueueID(reply string) string {
	_, rest, _ := strings.Cut(reply, "queued as ")
	id, _, _ := strings.Cut(rest, " ")
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if len(id) < 5 || len(id) > 20 || strings.Trim(id, allowed) != "" {
		return ""
	}
	return id
}

// messageFile is empty if there is none.
func messageFile(f agents.Facts, id string) (string, error) {
	for _, queue := range []string{"incoming", "active", "deferred", "hold", "corrupt"} {
		for _, depth := range []string{"", "?", "?/?"} {
			found, err := filepath.Glob(filepath.Join(f.DataDir, queue, depth, id))
			if err != nil {
				return "", fmt.Errorf("look for message %s: %w", id, err)
			}
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	if _, err := os.Stat(filepath.Join(f.DataDir, "active")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for message %s: %w", id, err)
	}
	return "", nil
}

// Withdraw has postsuper(1) delete a message. Postfix may use an ID again once
// its message is gone, so that the text must be in the file with the ID.
func (p *Postfix) Withdraw(ctx context.Context, f agents.Facts, id, text string) error {
	path, err := messageFile(f, id)
	if path == "" || err != nil {
		return err
	}
	if err := contains(path, text); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("withdraw message %s: %w", id, err)
	}
	_, err = p.tool(ctx, "postsuper", "-d", id)
	return err
}
