// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// Mend has doveadm(1) build torn indexes anew from the messages, user by user. It
// takes a third of the time that is left, and half a minute, at most.
func (a *agent) Mend(ctx context.Context, f agents.Facts) (string, error) {
	if len(a.torn) == 0 {
		return "", nil
	}
	const most, part = 30 * time.Second, 3
	ctx, cancel := portion(ctx, most, part)
	defer cancel()
	users := map[string]bool{} // by whether their mailboxes are well again
	var mended, errs []string
	for _, d := range a.torn {
		user, err := a.owner(ctx, f.DataDir, d.dir)
		if err != nil {
			errs = append(errs, fmt.Sprintf("%s (%v)", d.why, err))
			continue
		}
		well, tried := users[user]
		if !tried {
			err = a.resync(ctx, user)
			well = err == nil
			users[user] = well
			if well {
				mended = append(mended, user)
			}
		}
		if !well {
			errs = append(errs, fmt.Sprintf("%s (doveadm force-resync -u %s '*': %v)", d.why, user, err))
		}
	}
	did := ""
	if len(mended) > 0 {
		did = "rebuilt the indexes of " + strings.Join(mended, ", ")
	}
	if len(errs) > 0 {
		return did, errors.New(strings.Join(errs, "; "))
	}
	return did, nil
}

// resync repeats the command, for the first time it often gets no further than to
// find that an index is broken.
func (a *agent) resync(ctx context.Context, user string) error {
	const tries = 3
	var err error
	for range tries {
		if _, err = a.doveadm(ctx, "force-resync", "-u", user, "*"); err == nil {
			return nil
		}
	}
	return err
}

// doveadm runs a command of it, and returns what it prints.
func (d *Dovecot) doveadm(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.tool("doveadm"), append([]string{"-c", d.config()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	const tempFail = 75 // sysexits.h: what may work the next time
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w: doveadm %s did not end in time", errNow, args[0])
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == tempFail:
		return "", fmt.Errorf("%w: %w: %s", errNow, err, lastLine(stderr.String()))
	}
	return "", fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
}

// errNow says that something cannot be done at present.
var errNow = errors.New("not now")

// owner finds out whose mailbox is in a directory. Only Dovecot knows where a user's
// mailboxes are, not whose a directory is; but what users are called is most often
// part of the path. Whoever has an INBOX in the same place is the one.
func (a *agent) owner(ctx context.Context, mailDir, dir string) (string, error) {
	for _, c := range candidates(mailDir, dir) {
		inbox, err := a.doveadm(ctx, "mailbox", "path", "-u", c.user, "INBOX")
		if err == nil && isIn(strings.TrimSpace(inbox), c.home) {
			return c.user, nil
		}
		if ctx.Err() != nil {
			return "", err
		}
	}
	return "", errors.New("whose it is cannot be told")
}

// candidate is who may have a directory, and what is below it.
type candidate struct{ user, home string }

// candidates takes the words of a path for names of users: a word by itself, and
// with each of those before it as its domain. The most special ones come first.
func candidates(mailDir, dir string) []candidate {
	rel, err := filepath.Rel(mailDir, dir)
	if err != nil || strings.HasPrefix(rel, "..") {
		return nil
	}
	const deepest = 5 // words that may have names in them
	words := strings.Split(rel, "/")
	words = words[:min(len(words), deepest)]
	var found []candidate
	for i, name := range words {
		home := filepath.Join(mailDir, filepath.Join(words[:i+1]...))
		if !isName(name) {
			continue
		}
		for _, domain := range words[:i] {
			if isName(domain) {
				found = append(found, candidate{name + "@" + domain, home})
			}
		}
		found = append(found, candidate{name, home})
	}
	return found
}

// isName is strict: these words are written by others, and become arguments.
func isName(word string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return word != "" && len(word) <= 255 && strings.ContainsRune(first, rune(word[0])) && strings.Trim(word, first+"._+=@-") == ""
}

func isIn(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
