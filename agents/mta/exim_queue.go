// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// Sinkhole is empty: what is discarded is a matter of the configuration.
func (*Exim) Sinkhole(string) string { return "" }

// QueueID finds it in "OK id=1xUw2T-0000YZ-0e" (section 3.4).
func (*Exim) QueueID(reply string) string {
	_, rest, _ := strings.Cut(reply, "id=")
	id, _, _ := strings.Cut(rest, " ")
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	parts := strings.Split(id, "-")
	if len(parts) != 3 || len(id) > 30 {
		return ""
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, allowed) != "" {
			return ""
		}
	}
	return id
}

// Storage sees that mail can be written.
func (*Exim) Storage(_ context.Context, f agents.Facts) error { return storage(f.DataDir, "") }

// spoolFile finds a file of a message: in input, or one directory below it
// (split_spool_directory). It is empty if there is none.
func spoolFile(f agents.Facts, name string) (string, error) {
	for _, depth := range []string{"", "?"} {
		found, err := filepath.Glob(filepath.Join(f.DataDir, "input", depth, name))
		if err != nil {
			return "", fmt.Errorf("look for message file %s: %w", name, err)
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	if _, err := os.Stat(f.DataDir); err != nil {
		return "", fmt.Errorf("look for message file %s: %w", name, err)
	}
	return "", nil
}

// Queued says how far the message is by the flags in its envelope (chapter 56):
// the first attempt to deliver it takes away deliver_firsttime.
func (*Exim) Queued(f agents.Facts, id string) (where string, rests bool, err error) {
	path, err := spoolFile(f, id+"-H")
	if path == "" || err != nil {
		return "", false, err
	}
	e, err := readEnvelope(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("look for message %s: %w", id, err)
	case e.frozen:
		return "frozen", true, nil
	case e.fresh:
		return "input", false, nil
	}
	return "deferred", true, nil
}

// envelope is what the file ID-H says before the message's header.
type envelope struct {
	fresh  bool // nobody has tried to deliver it
	frozen bool // nobody will
}

func readEnvelope(path string) (envelope, error) {
	file, err := os.Open(path)
	if err != nil {
		return envelope{}, err
	}
	defer file.Close()
	return parseEnvelope(file)
}

func parseEnvelope(r io.Reader) (envelope, error) {
	const most = 1 << 20 // bytes; its flags come early
	var e envelope
	lines := bufio.NewScanner(io.LimitReader(r, most))
	for lines.Scan() {
		flag, _, _ := strings.Cut(lines.Text(), " ")
		switch flag {
		case "-deliver_firsttime":
			e.fresh = true
		case "-frozen":
			e.frozen = true
		case "XX", "YY", "YN", "NY", "NN": // the tree of those that have it already
			return e, nil
		}
	}
	return e, lines.Err()
}

// Look reads the spool's directory of messages. When a message that was tried
// will be tried again is in a database of Exim's own; only one that was never
// tried waits for the MTA.
func (*Exim) Look(ctx context.Context, f agents.Facts, most int) (queue, error) {
	var q queue
	err := walk(ctx, filepath.Join(f.DataDir, "input"), func(path string, info fs.FileInfo) error {
		id, ok := strings.CutSuffix(filepath.Base(path), "-H")
		if !ok {
			return nil
		}
		q.Messages++
		const news = time.Minute // hardly worth a look
		if due := info.ModTime(); time.Since(due) > news && (q.Due.IsZero() || due.Before(q.Due)) {
			if e, err := readEnvelope(path); err == nil && e.fresh && !e.frozen {
				q.Due, q.DueID = due, id
			}
		}
		if q.Messages >= most {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return queue{}, err
	}
	return q, nil
}

// Withdraw has Exim remove a message, with nothing said to anybody (section 5.2,
// -Mrm). Exim does not do so while it tries to deliver the message, which may take
// minutes: these attempts are ended.
func (e *Exim) Withdraw(ctx context.Context, f agents.Facts, id, text string) error {
	const pause = 100 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		path, err := spoolFile(f, id+"-H")
		if path == "" || err != nil {
			return err
		}
		if err := contains(path, text); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fmt.Errorf("withdraw message %s: %w", id, err)
		}
		if err := endAttempts(f, id); err != nil {
			return err
		}
		if _, err = e.tool(ctx, "-Mrm", id); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("withdraw message %s: %w", id, err)
		case <-tick.C:
		}
	}
}

// endAttempts ends the processes that deliver the message.
func endAttempts(f agents.Facts, id string) error {
	ps, err := process.Find(f.Process)
	if err != nil {
		return err
	}
	for _, p := range ps {
		j, err := lookAt(p, f)
		if err != nil {
			return err
		}
		if j.kind() == delivery && filepath.Base(j.message) == id+"-D" {
			if err := p.Signal(syscall.SIGTERM); err != nil {
				return err
			}
		}
	}
	return nil
}
