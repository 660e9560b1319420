// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailha/mailha/agents"
)

// Storage sees that mail can be written.
func (*postfix) Storage(f agents.Facts) error { return storage(f.DataDir, "pid") }

// Look reads the directories of the queue: postconf(5) queue_directory. The time
// of a file is when its message came in, or when the next attempt to deliver it
// is due.
func (*postfix) Look(ctx context.Context, f agents.Facts, most int) (queue, error) {
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
func (*postfix) Queued(f agents.Facts, id string) (string, error) {
	path, err := messageFile(f, id)
	if path == "" || err != nil {
		return "", err
	}
	queue, _, _ := strings.Cut(strings.TrimPrefix(path, f.DataDir+"/"), "/")
	return queue, nil
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
func (p *postfix) Withdraw(ctx context.Context, f agents.Facts, id, text string) error {
	path, err := messageFile(f, id)
	if path == "" || err != nil {
		return err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("withdraw message %s: %w", id, err)
	}
	defer file.Close()
	const most = 64 << 10 // far more than a test message
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return fmt.Errorf("withdraw message %s: %w", id, err)
	}
	if !bytes.Contains(data, []byte(text)) {
		return fmt.Errorf("withdraw message %s: %s is another message", id, path)
	}
	_, err = p.tool(ctx, "postsuper", "-d", id)
	return err
}
